import { useNow } from '../clock';
import { useI18n } from '../i18n';
import { span, until } from '../model/clocks';
import { dateTime, readTime } from '../time';

/** How long until an instant, by the one timer of the page; the exact time is its hint. */
export function Countdown({ at, hint }: { at: string; hint?: string }) {
  const { t, language } = useI18n();
  const now = useNow();
  const left = until(at, now);
  if (left === null) return <>{t('app.none')}</>;
  const due = readTime(at) ?? 0;
  const exact = dateTime(due, language);
  return (
    <time
      className={`countdown ${left < 0 ? 'late' : left < 30 * 60_000 ? 'near' : 'calm'}`}
      dateTime={new Date(due).toISOString()}
      title={hint === undefined ? exact : `${hint} (${exact})`}
    >
      {t(left < 0 ? 'clock.late' : 'clock.left', { time: span(left, t) })}
    </time>
  );
}
