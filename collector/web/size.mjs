// What a browser loads before the first page shows, compressed. Fails over the limit.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

const LIMIT_KB = 340;
const DIST = join(import.meta.dirname, 'dist');
const read = (name) => readFileSync(join(DIST, name));

/** A script with everything that it imports at once. */
function withImports(name, found = new Set()) {
  if (found.has(name)) return found;
  found.add(name);
  for (const [, file] of read(name).toString().matchAll(/(?:from|import)\s*"\.\/([^"]+\.js)"/g)) {
    withImports(`assets/${file}`, found);
  }
  return found;
}

const kb = (files) => [...files].reduce((sum, name) => sum + gzipSync(read(name), { level: 9 }).length, 0) / 1000;

const html = read('index.html').toString();
const entry = [...html.matchAll(/(?:src|href)="\/([^"]+\.(?:js|css))"/g)].map((m) => m[1]);
const first = new Set(['index.html', ...entry.filter((n) => n.endsWith('.css'))]);
for (const script of entry.filter((n) => n.endsWith('.js'))) withImports(script, first);
const source = [...first].filter((n) => n.endsWith('.js')).map((n) => read(n).toString()).join('\n');

let worst = 0;
for (const page of ['LoginPage', 'PasswordPage', 'QueuePage', 'TicketPage', 'FleetPage', 'AgentPage', 'AuditPage']) {
  const [, chunk] = source.match(new RegExp(`(${page}-[\\w-]+\\.js)`)) ?? [];
  if (!chunk) throw new Error(`no file of its own for ${page}`);
  const size = kb(withImports(`assets/${chunk}`, new Set(first)));
  worst = Math.max(worst, size);
  console.log(`${page.padEnd(14)} ${size.toFixed(0).padStart(4)} KB gz`);
}
console.log(`first load     ${kb(first).toFixed(0).padStart(4)} KB gz before any page, limit ${LIMIT_KB} with one`);
if (worst > LIMIT_KB) process.exit(1);
