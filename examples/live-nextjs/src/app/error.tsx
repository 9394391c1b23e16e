'use client'

/** Stands in place of a page that could not be rendered. The details are in the server's log. */
export default function ErrorPage({ reset }: { error: Error; reset: () => void }) {
  return (
    <section className="card notice" role="alert">
      <h1>That did not work</h1>
      <p>Something failed on the way. Nothing of yours is lost.</p>
      <button className="button" type="button" onClick={reset}>
        Try again
      </button>
    </section>
  )
}
