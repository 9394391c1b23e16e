export { type Challenge, type ChallengeProvider, openChallenge } from './challenge.ts'
export { checkHuman, type HumanEvidence } from './check-human.ts'
export { createTestingToken, isTestingToken, type TestingToken } from './testing-tokens.ts'
