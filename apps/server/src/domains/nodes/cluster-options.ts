import type { Config } from '../../config.ts'
import type { ClusterOptions } from '../../kernel/cluster/index.ts'
import type { Log } from '../../kernel/log.ts'
import { purposeKeys } from '../../kernel/secrets.ts'
import type { Node } from './join-nodes.ts'

/** How a node talks to the others on its database. */
export function clusterOptions(config: Config, node: Node, log: Log): ClusterOptions {
  return {
    redisUrl: config.redisUrl,
    scope: node.scope,
    nodeId: node.id,
    keys: purposeKeys(config.keyring, 'nodes'),
    expected: () => node.talking,
    log,
  }
}
