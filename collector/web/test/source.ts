// Reads the console's own source: what texts and keys stand in it.

import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { parseSync } from 'vite';

const ROOT = join(import.meta.dirname, '../src');

interface Node {
  type: string;
  start: number;
  [field: string]: unknown;
}

/** Files of the console, dictionaries left out unless asked for. */
export function files(): string[] {
  return readdirSync(ROOT, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.tsx?$/.test(name))
    .map((name) => join(ROOT, name));
}

export function isDictionary(file: string): boolean {
  return /i18n[\\/](?:[a-z]+-)?(?:en|zh|catalogue|words)\.ts$/.test(file);
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && typeof (value as Node).type === 'string';
}

function walk(node: Node, see: (node: Node, parent: Node | null) => void, parent: Node | null = null): void {
  see(node, parent);
  for (const value of Object.values(node)) {
    for (const child of Array.isArray(value) ? value : [value]) if (isNode(child)) walk(child, see, node);
  }
}

/** What a person would read: words of any script, not mere signs or spaces. */
const readable = (text: string) => /\p{L}/u.test(text);

/** Attributes and properties whose values people see or hear. */
const SHOWN = new Set([
  'title', 'label', 'placeholder', 'alt', 'aria-label', 'aria-description', 'description', 'message', 'content',
  'okText', 'cancelText', 'emptyText', 'tooltip', 'addonBefore', 'addonAfter', 'suffix', 'prefix', 'extra', 'hint',
]);

/** Texts of a value that is shown: literals, templates, and both sides of `?:`, `&&`, `||`, `??`, `+`. */
function literals(node: unknown): string[] {
  if (!isNode(node)) return [];
  switch (node.type) {
    case 'Literal':
      return typeof node.value === 'string' ? [node.value] : [];
    case 'TemplateLiteral':
      return (node.quasis as { value: { cooked: string } }[]).map((q) => q.value.cooked);
    case 'ConditionalExpression':
      return [...literals(node.consequent), ...literals(node.alternate)];
    case 'LogicalExpression':
    case 'BinaryExpression':
      return node.operator === '===' || node.operator === '!==' ? [] : [...literals(node.left), ...literals(node.right)];
    case 'JSXExpressionContainer':
      return literals(node.expression);
    default:
      return [];
  }
}

/** Every readable text in one file that does not come from the dictionaries. */
export function strayTexts(name: string, source: string): string[] {
  const { program, errors } = parseSync(name, source, { lang: name.endsWith('x') ? 'tsx' : 'ts' });
  if (errors.length > 0) throw new Error(`${name}: ${errors[0]?.message}`);
  const found: string[] = [];
  const add = (node: Node, texts: string[]) => {
    const line = source.slice(0, node.start).split('\n').length;
    for (const text of texts) if (readable(text)) found.push(`${name}:${line}: ${text.trim()}`);
  };
  walk(program as unknown as Node, (node, parent) => {
    if (node.type === 'JSXText') add(node, [String(node.value)]);
    if (node.type === 'JSXExpressionContainer' && (parent?.type === 'JSXElement' || parent?.type === 'JSXFragment')) {
      add(node, literals(node));
    }
    if (node.type === 'JSXAttribute' && SHOWN.has(String((node.name as Node).name))) add(node, literals(node.value));
    if (node.type === 'Property' && SHOWN.has(String((node.key as Node).name ?? (node.key as Node).value))) {
      add(node, literals(node.value));
    }
    if (node.type === 'Literal' && typeof node.value === 'string' && /\p{Script=Han}/u.test(node.value)) {
      add(node, [node.value]);
    }
  });
  return [...new Set(found)];
}

export function allStrayTexts(): string[] {
  return files()
    .filter((file) => !isDictionary(file))
    .flatMap((file) => strayTexts(relative(ROOT, file), readFileSync(file, 'utf8')));
}

/** Keys that the source names whole, and the beginnings of those that it puts together. */
export function keysUsed(): { exact: Set<string>; prefixes: string[] } {
  const source = files()
    .filter((file) => !/i18n[\\/](en|zh)\.ts$/.test(file))
    .map((file) => readFileSync(file, 'utf8'))
    .join('\n');
  const exact = new Set([...source.matchAll(/'([a-z]+\.[A-Za-z_-]+)'/g)].map((m) => m[1] ?? ''));
  const composed = [...source.matchAll(/`([a-z]+\.[a-z-]*)\$\{/g)].map((m) => m[1] ?? '');
  const named = [...source.matchAll(/named\('([a-z.]+)'/g)].map((m) => {
    const kind = m[1] ?? '';
    return `${kind}${kind.includes('.') ? '-' : '.'}`;
  });
  return { exact, prefixes: [...composed, ...named] };
}
