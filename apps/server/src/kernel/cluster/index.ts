export { type Cluster, type ClusterOptions, LocalCluster, openCluster, type Subscription } from './cluster.ts'
