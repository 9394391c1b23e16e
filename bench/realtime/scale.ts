/** `--tiny` runs everything small, to see that it runs: its numbers say nothing. */
const tiny = process.argv.includes('--tiny')

export const scale = { tiny, size: (full: number, small: number): number => (tiny ? small : full) }
