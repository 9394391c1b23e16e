export { joinNodes, type Node } from './join-nodes.ts'
