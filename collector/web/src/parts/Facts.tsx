import type { ReactNode } from 'react';
import { useI18n } from '../i18n';

/** Names and values in two columns; an empty value shows as a dash. */
export function Facts({ items }: { items: readonly (readonly [name: string, value: ReactNode])[] }) {
  const { t } = useI18n();
  return (
    <dl className="facts">
      {items.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value === null || value === undefined || value === '' ? t('app.none') : value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** A titled part of a page. */
export function Panel({
  title,
  hint,
  extra,
  children,
}: {
  title: ReactNode;
  hint?: string;
  extra?: ReactNode;
  children: ReactNode;
}) {
  return (
    <section className="panel">
      <header>
        <h2>{title}</h2>
        {hint && <span className="hint">{hint}</span>}
        {extra}
      </header>
      <div className="body">{children}</div>
    </section>
  );
}
