// The console's types beside the collector's published document: a field that is gone, renamed or
// may now be null fails here, not at a customer's.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseSync } from 'vite';

interface Schema {
  $ref?: string;
  type?: string | string[];
  items?: Schema;
  allOf?: Schema[];
  oneOf?: Schema[];
  required?: string[];
  properties?: Record<string, Schema>;
}

interface Operation {
  parameters?: { name: string; in: string }[];
  responses: Record<string, { content?: Record<string, { schema: Schema }> }>;
}

const document = JSON.parse(readFileSync(join(import.meta.dirname, '../../../docs/openapi.json'), 'utf8')) as {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema> };
};
const source = readFileSync(join(import.meta.dirname, '../src/api.ts'), 'utf8');
const folder = join(import.meta.dirname, '../src/answers');
const shapes = readdirSync(folder)
  .map((name) => readFileSync(join(folder, name), 'utf8'))
  .join('\n');

/** Where the console's name is not the document's. */
const NAMES: Record<string, string> = {
  User: 'Person',
  Stream: 'Lane',
  RuleRef: 'Rule',
  PlanLimit: 'Limit',
  PlanBody: 'Plan',
  CalendarDay: 'Day',
  CalendarBody: 'Calendar',
};
/** What agents send through, or the console makes up: not in the document. */
const OWN = new Set(['SourceHealth', 'Readout', 'LaneState', 'Heartbeat', 'Held', 'HeldWindow', 'TicketFilter', 'AuditFilter', 'ReportAsked']);
/** What requests carry, by the document's names. */
const BODIES: Record<string, string> = {
  Step: 'Transition',
  NewTicket: 'NewTicket',
  TicketChange: 'TicketChange',
  MaintenanceWish: 'MaintenanceWish',
  ArticleWish: 'ArticleWish',
  AbsenceWish: 'AbsenceWish',
  ViewWish: 'ViewWish',
  Bulk: 'Bulk',
  TokenWish: 'TokenWish',
  MyNewTicket: 'MyNewTicket',
};
/** What a request adds to such a body by itself. */
const ADDED: Record<string, string[]> = { TicketChange: ['version'] };

interface Field {
  name: string;
  nullable: boolean;
  optional: boolean;
}

// eslint-disable-next-line @typescript-eslint/no-explicit-any
type Node = any;

/** Fields of every interface of answers/. */
function interfaces(): Map<string, Field[]> {
  const found = new Map<string, Field[]>();
  for (const statement of parseSync('answers', shapes, { lang: 'ts' }).program.body as Node[]) {
    const node: Node = statement.declaration;
    if (node?.type !== 'TSInterfaceDeclaration') continue;
    const fields = (node.body.body as Node[])
      .filter((member) => member.type === 'TSPropertySignature')
      .map((member) => {
        const type: Node = member.typeAnnotation.typeAnnotation;
        const parts: Node[] = type.type === 'TSUnionType' ? type.types : [type];
        return {
          name: member.key.name,
          optional: member.optional === true,
          nullable: parts.some((part) => part.type === 'TSNullKeyword'),
        };
      });
    found.set(node.id.name, fields);
  }
  return found;
}

const nameOf = (ref: string) => ref.split('/').at(-1) ?? '';

/** Properties of a schema and of all that it includes. */
function properties(schema: Schema): Map<string, { required: boolean; nullable: boolean }> {
  const found = new Map<string, { required: boolean; nullable: boolean }>();
  for (const part of schema.allOf ?? []) for (const [name, facts] of properties(part)) found.set(name, facts);
  if (schema.$ref) {
    for (const [name, facts] of properties(document.components.schemas[nameOf(schema.$ref)] ?? {})) found.set(name, facts);
  }
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    const nullable = [property, ...(property.oneOf ?? [])].some((s) => s.type === 'null' || s.type?.includes('null'));
    found.set(name, { required: schema.required?.includes(name) ?? false, nullable });
  }
  return found;
}

describe('types', () => {
  const all = interfaces();
  for (const [name, fields] of all) {
    if (OWN.has(name) || name in BODIES) continue;
    test(name, () => {
      const published = properties({ $ref: `#/components/schemas/${NAMES[name] ?? name}` });
      // A Ticket extends a TicketSummary, which is looked at by itself.
      for (const field of fields) {
        const facts = published.get(field.name);
        expect(facts, `${name}.${field.name} is not published`).toBeDefined();
        expect({ field: field.name, nullable: facts?.nullable }).toEqual({ field: field.name, nullable: field.nullable });
        if (!field.optional) expect(facts?.required, `${name}.${field.name} may be absent`).toBe(true);
      }
    });
  }

  for (const [name, asPublished] of Object.entries(BODIES)) {
    test(`${name}, which is sent`, () => {
      const published = properties({ $ref: `#/components/schemas/${asPublished}` });
      const fields = all.get(name) ?? [];
      for (const field of fields) expect([...published.keys()]).toContain(field.name);
      const sent = [...fields.filter((f) => !f.optional).map((f) => f.name), ...(ADDED[name] ?? [])];
      const required = [...published].filter(([, facts]) => facts.required).map(([field]) => field);
      expect(required.length, `${asPublished} is published`).toBeGreaterThan(0);
      expect(sent).toEqual(expect.arrayContaining(required));
    });
  }

  test('all of them were read', () => {
    expect(all.size).toBeGreaterThan(18);
  });
});

describe('requests', () => {
  const calls = [...source.matchAll(/request<([\w[\]]+)>\(\s*'(GET|POST|DELETE)',\s*[`']([^`']*)/g)];

  test('were found', () => {
    expect(calls.length).toBeGreaterThanOrEqual(13);
  });

  for (const [, type = '', method = '', written = ''] of calls) {
    const path = `/api/v1${written.replace(/\$\{query[^]*$/, '').replace(/\$\{[^}]*\}/g, '{}')}`;
    test(`${method} ${path} answers ${type}`, () => {
      const published = Object.entries(document.paths).find(([p]) => p.replace(/\{\w+\}/g, '{}') === path);
      const operation = published?.[1][method.toLowerCase()];
      expect(operation, 'is not published').toBeDefined();
      const schema = operation?.responses['200']?.content?.['application/json']?.schema;
      if (type === 'void' || type === 'unknown') return;
      const answer = schema?.type === 'array' ? `${nameOf(schema.items?.$ref ?? '')}[]` : nameOf(schema?.$ref ?? '');
      expect(answer).toBe(type);
    });
  }

  test('ask only for what can be asked', () => {
    const queries = [...source.matchAll(/`(\/[^`]*?)\$\{query\(\{([^}]*)\}\)\}`/g)];
    expect(queries).toHaveLength([...source.matchAll(/\$\{query\(/g)].length);
    expect(queries.length).toBeGreaterThan(5);
    for (const [, written = '', body = ''] of queries) {
      const path = `/api/v1${written.replace(/^\/api\/v1/, '').replace(/\$\{[^}]*\}/g, '{}')}`;
      const operations = Object.entries(document.paths).find(([p]) => p.replace(/\{\w+\}/g, '{}') === path)?.[1];
      const known = operations?.get?.parameters?.map((p) => p.name) ?? [];
      const asked = body.split(',').map((part) => part.split(':')[0]?.trim() ?? '').filter(Boolean);
      expect(known).toEqual(expect.arrayContaining(asked));
    }
  });
});
