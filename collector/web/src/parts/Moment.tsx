import { useNow } from '../clock';
import { useI18n } from '../i18n';
import { ago, dateTime, readTime } from '../time';

interface Props {
  at: string | null | undefined;
}

/** An age that stays true; the exact time is its hint. */
export function Age({ at }: Props) {
  const { language, t } = useI18n();
  const now = useNow();
  const ms = readTime(at);
  if (ms === null) return <>{t('app.none')}</>;
  return (
    <time dateTime={new Date(ms).toISOString()} title={dateTime(ms, language)}>
      {ago(ms, now, language, t('time.now'))}
    </time>
  );
}

/** The exact time; its age is its hint. */
export function Moment({ at }: Props) {
  const { language, t } = useI18n();
  const now = useNow();
  const ms = readTime(at);
  if (ms === null) return <>{t('app.none')}</>;
  return (
    <time dateTime={new Date(ms).toISOString()} title={ago(ms, now, language, t('time.now'))}>
      {dateTime(ms, language)}
    </time>
  );
}
