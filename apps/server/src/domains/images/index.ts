export {
  deleteOrganizationLogo,
  deleteOwnerlessImages,
  deleteUserImage,
  findImage,
  type Image,
  setOrganizationLogo,
  setUserImage,
} from './images.ts'
export { type Bucket, bucketStorage, type ObjectStorage, useObjectStorage } from './object-storage.ts'
export { maxUploadBytes, tooLarge } from './process-image.ts'
