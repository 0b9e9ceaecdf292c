// npm consul: its key-value calls and its watch, against the server on PORT.
//   node consul.mjs PORT
import assert from 'node:assert';
import { once } from 'node:events';
import { createRequire } from 'node:module';

const Consul = createRequire(import.meta.url)('consul');
const consul = new Consul({ host: '127.0.0.1', port: Number(process.argv[2]) });

const tests = {
  async npm_consul_kv_set_get() {
    assert.strictEqual(await consul.kv.set('n/a', 'hello'), true);
    const row = await consul.kv.get('n/a');
    assert.strictEqual(row.Value, 'hello');
    assert.strictEqual(row.Flags, 0);
    assert.strictEqual(await consul.kv.get('n/missing'), undefined);
    assert.strictEqual(await consul.kv.set({ key: 'n/f', value: 'x', flags: 9 }), true);
    assert.strictEqual((await consul.kv.get('n/f')).Flags, 9);
  },

  async npm_consul_kv_cas() {
    await consul.kv.set('n/cas', '1');
    const row = await consul.kv.get('n/cas');
    const wrong = { key: 'n/cas', value: '2', cas: String(row.ModifyIndex + 1) };
    assert.ok(!await consul.kv.set(wrong));
    const right = { key: 'n/cas', value: '2', cas: String(row.ModifyIndex) };
    assert.strictEqual(await consul.kv.set(right), true);
    assert.strictEqual((await consul.kv.get('n/cas')).Value, '2');
  },

  async npm_consul_kv_keys_and_recurse() {
    await consul.kv.set('k/1', 'a');
    await consul.kv.set('k/2/x', 'b');
    assert.deepStrictEqual(await consul.kv.keys('k/'), ['k/1', 'k/2/x']);
    assert.deepStrictEqual(await consul.kv.keys({ key: 'k/', separator: '/' }), ['k/1', 'k/2/']);
    const rows = await consul.kv.get({ key: 'k/', recurse: true });
    assert.deepStrictEqual(rows.map((r) => r.Value), ['a', 'b']);
  },

  async npm_consul_kv_del() {
    await consul.kv.set('d/1', 'a');
    await consul.kv.set('d/2', 'b');
    assert.strictEqual(await consul.kv.del('d/1'), true);
    assert.strictEqual(await consul.kv.get('d/1'), undefined);
    await consul.kv.del({ key: 'd/', recurse: true });
    assert.strictEqual(await consul.kv.get('d/2'), undefined);
  },

  async npm_consul_watch_sees_every_state() {
    await consul.kv.set('w/1', 'first');
    const watch = consul.watch({ method: consul.kv.get, options: { key: 'w/1', wait: '20s' } });
    try {
      const [first] = await once(watch, 'change');
      assert.strictEqual(first.Value, 'first');
      const next = once(watch, 'change');
      await consul.kv.set('w/1', 'second');
      const [second] = await next;
      assert.strictEqual(second.Value, 'second');
    } finally {
      watch.end();
    }
  },

  async npm_consul_status_and_self() {
    assert.match(await consul.status.leader(), /:\d+$/);
    const self = await consul.agent.self();
    assert.ok(self.Config.NodeName);
  },
};

let failed = 0;
for (const [name, test] of Object.entries(tests)) {
  try {
    await test();
    console.log(`ok ${name}`);
  } catch (error) {
    failed += 1;
    for (const line of String(error.stack).split('\n')) console.log(`# ${line}`);
    console.log(`not ok ${name}`);
  }
}
process.exit(failed ? 1 : 0);
