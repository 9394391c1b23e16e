import { expect, test } from 'bun:test'
import { serverSdk } from '../support/clerk.ts'
import { postgresBin, startPostgres } from '../support/postgres.ts'
import { redisServer, startRedis } from '../support/redis.ts'
import { startUsher, type UsherProcess } from '../support/usher.ts'

test.skipIf(!postgresBin || !redisServer)(
  'what one server does, another one on the same database heeds within a second',
  async () => {
    await using postgres = await startPostgres()
    await using redis = await startRedis()
    const env = {
      DATABASE_URL: postgres.url,
      REDIS_URL: redis.url,
      USHER_SECRET: 'a secret that both of the servers hold',
    }
    await using one = await startUsher({ env })
    await using two = await startUsher({ env })
    const clientOf = ({ ready }: UsherProcess) => serverSdk({ ...one.ready, url: ready.url })
    const [here, there] = [clientOf(one), clientOf(two)]
    const within = async (holds: () => Promise<boolean>) => {
      const at = performance.now()
      while (!(await holds()) && performance.now() - at < 5000) await Bun.sleep(20)
      expect(performance.now() - at).toBeLessThan(1000)
    }
    const claims = (jwt: string) => JSON.parse(atob(jwt.split('.')[1] ?? ''))

    const user = await here.users.createUser({ emailAddress: ['ada@example.com'], skipPasswordRequirement: true })
    const session = await here.sessions.createSession({ userId: user.id })
    const template = await here.jwtTemplates.create({ name: 'who', claims: { name: '{{user.first_name}}', v1: true } })
    const minted = async () => claims((await there.sessions.getToken(session.id, 'who')).jwt)
    await within(async () => (await there.jwtTemplates.list()).totalCount === 1)
    // Warm: from here on the other server holds the person, the session and the template in memory.
    expect(await minted()).toMatchObject({ name: null, v1: true })

    await here.users.updateUser(user.id, { firstName: 'Ada' })
    await within(async () => (await minted()).name === 'Ada')
    await here.jwtTemplates.update({ templateId: template.id, name: 'who', claims: { v2: '{{user.id}}' } })
    await within(async () => (await minted()).v2 === user.id)
    const { jwt } = await there.sessions.getToken(session.id)
    expect((await there.sessions.verifySession(session.id, jwt)).status).toBe('active')
    await here.sessions.revokeSession(session.id)
    await within(() =>
      there.sessions.verifySession(session.id, jwt).then(
        () => false,
        (error) => error.status === 401,
      ),
    )

    // Machines: what was taken away here is refused there at once.
    const service = await here.machines.create({ name: 'Service' })
    const caller = await here.machines.create({ name: 'Caller', scopedMachines: [service.id] })
    const { token = '' } = await here.m2m.createToken({ machineSecretKey: caller.secretKey as string })
    const verified = (machineSecretKey: string) =>
      there.m2m.verify({ token, machineSecretKey }).then(
        ({ subject }) => subject,
        (error) => error.status,
      )
    const key = service.secretKey as string
    expect(await verified(key)).toBe(caller.id)
    await here.machines.deleteScope(caller.id, service.id)
    expect(await verified(key)).toBe(404)
    await here.machines.createScope(caller.id, service.id)
    expect(await verified(key)).toBe(caller.id)
    const { secret } = await here.machines.rotateSecretKey({ machineId: service.id, previousTokenTtl: 0 })
    expect([await verified(key), await verified(secret)]).toEqual([401, caller.id])
    await here.machines.delete(caller.id)
    expect(await verified(secret)).toBe(404)
  },
  60_000,
)
