import type { TimelineEntry } from '../api';
import { useI18n } from '../i18n';
import { line } from '../model/timeline';
import { Moment } from './Moment';

/** The ticket's history, oldest first, as it is kept. */
export function TimelineList({ entries }: { entries: readonly TimelineEntry[] }) {
  const { t, language } = useI18n();
  return (
    <ol className="timeline">
      {entries.map((entry) => {
        const { head, body, who, by } = line(entry, t, language);
        return (
          <li key={entry.id} className={by} data-what={entry.what}>
            <div className="head">
              <strong>{head}</strong>
              <span className="by">
                {who} · <Moment at={entry.at} />
              </span>
            </div>
            {body !== '' && <p>{body}</p>}
          </li>
        );
      })}
    </ol>
  );
}
