export { clusterOptions } from './cluster-options.ts'
export { joinNodes, type Node } from './join-nodes.ts'
