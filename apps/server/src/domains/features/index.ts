export { featureStatesOf } from './feature-states.ts'
export {
  type FeatureGrant,
  grantFeature,
  type HeldFeature,
  type Holder,
  listFeaturesOf,
  withdrawFeature,
} from './grant-features.ts'
export {
  createFeature,
  deleteFeature,
  type Feature,
  type FeatureInput,
  getFeature,
  listFeatures,
  updateFeature,
} from './manage-features.ts'
