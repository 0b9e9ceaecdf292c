// npm consul's watcher on a key, a prefix, a service's health, and the catalog; each change is a
// line `KIND WHAT`.
//   node npm_watch.mjs PORT
import { createRequire } from 'node:module';

const Consul = createRequire(import.meta.url)('consul');
const consul = new Consul({ host: '127.0.0.1', port: Number(process.argv[2]) });

const instance = (row) => {
  const worst = row.Checks.map((check) => check.Status).find((status) => status !== 'passing');
  return `${row.Service.ID}=${worst ?? 'passing'}`;
};

const watches = {
  key: [consul.kv.get, { key: 'w/key' }, (row) => row?.Value ?? 'none'],
  prefix: [consul.kv.get, { key: 'w/', recurse: true },
    (rows) => (rows ?? []).map((row) => `${row.Key}=${row.Value}`).join(',')],
  health: [consul.health.service, { service: 'api' }, (rows) => rows.map(instance).join(',')],
  passing: [consul.health.service, { service: 'api', passing: true },
    (rows) => rows.map((row) => row.Service.ID).join(',')],
  services: [consul.catalog.service.list, {}, (names) => Object.keys(names).sort().join(',')],
  nodes: [consul.catalog.node.list, {}, (rows) => rows.map((row) => row.Node).sort().join(',')],
};

for (const [kind, [method, options, show]] of Object.entries(watches)) {
  const watch = consul.watch({ method, options: { ...options, wait: '20s' }, backoffFactor: 20,
    backoffMax: 200 });
  watch.on('change', (data) => console.log(`${kind} ${show(data)}`));
  watch.on('error', (error) => console.log(`error ${kind} ${error.message}`));
}
