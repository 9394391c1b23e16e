export { featureStatesOf } from './feature-states.ts'
