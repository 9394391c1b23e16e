/** A text as a `like` pattern that stands for itself: `%`, `_` and the backslash mean nothing in it. */
export const escapeLike = (text: string): string => text.replace(/[\\%_]/g, '\\$&')
