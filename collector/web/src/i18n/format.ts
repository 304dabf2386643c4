// Filling placeholders. Pure.

import type { en, Key } from './en';

type Names<Text extends string> = Text extends `${string}{${infer Name}}${infer Rest}`
  ? Name | Names<Rest>
  : never;

/** The placeholders of a text, as an object type. */
export type Args<K extends Key> = Record<Names<(typeof en)[K]>, string | number>;

/** `t('key')`, or `t('key', { placeholder })` where the text has some. */
export type Translate = <K extends Key>(
  key: K,
  ...args: keyof Args<K> extends never ? [] : [Args<K>]
) => string;

/** Fills `{name}`; a name without a value stays as it is, so that it is seen. */
export function fill(text: string, values: Record<string, string | number> = {}): string {
  return text.replace(/\{([a-z_]+)\}/g, (whole, name: string) =>
    Object.hasOwn(values, name) ? String(values[name]) : whole,
  );
}

/** The placeholders of a text, sorted. */
export function placeholders(text: string): string[] {
  return [...text.matchAll(/\{([a-z_]+)\}/g)].map((m) => m[1] ?? '').sort();
}
