import { Alert, App, Button, Checkbox, Input, Select, Space } from 'antd';
import { useState } from 'react';
import { api, type Bulk, type BulkResult, type TicketSummary } from '../api';
import { useI18n } from '../i18n';
import { errorText } from '../i18n/errors';
import { useFetched } from '../live/fetched';
import { PRIORITY_FILTERS } from '../model/queue';

interface Props {
  /** As the person sees them. */
  picked: readonly TicketSummary[];
  /** What was done, or seen: those that remain picked. */
  onDone(remaining: string[]): void;
}

const DEEDS = ['assignee', 'priority', 'comment', 'link', 'merge'] as const;
type Deed = (typeof DEEDS)[number];

const loadPeople = (signal: AbortSignal) => api.people(signal);
const never = () => false;

/** One thing done to all that are picked; each of them answers for itself. */
export function BulkBar({ picked, onDone }: Props) {
  const { t } = useI18n();
  const { message } = App.useApp();
  const people = useFetched(loadPeople, never);
  const [deed, setDeed] = useState<Deed>('assignee');
  const [value, setValue] = useState('');
  const [visible, setVisible] = useState(false);
  const [busy, setBusy] = useState(false);
  const [failed, setFailed] = useState<readonly BulkResult[]>([]);
  const run = async () => {
    setBusy(true);
    try {
      const tickets = picked.map(({ number, version }) => ({ number, version }));
      const wish: Bulk = { tickets, [deed]: value.trim(), ...(deed === 'comment' ? { visible } : {}) };
      const { done, results } = await api.bulk(wish);
      const left = results.filter((one) => one.error !== null);
      setFailed(left);
      setValue('');
      void message[left.length === 0 ? 'success' : 'warning'](t('bulk.done', { done, all: results.length }));
      onDone(left.map((one) => one.number));
    } catch (error) {
      void message.warning(errorText(error, t), 8);
    } finally {
      setBusy(false);
    }
  };
  const pick = (next: Deed) => {
    setDeed(next);
    setValue('');
  };
  return (
    <section className="bulk" aria-label={t('bulk.label')}>
      <Space wrap size="small">
        <strong>{t('bulk.picked', { n: picked.length })}</strong>
        <Select
          aria-label={t('bulk.deed')}
          data-field="deed"
          size="small"
          value={deed}
          popupMatchSelectWidth={false}
          options={DEEDS.map((name) => ({ value: name, label: t(`bulk.${name}`) }))}
          onChange={pick}
        />
        {deed === 'assignee' || deed === 'priority' ? (
          <Select
            aria-label={t(`bulk.${deed}`)}
            data-field="bulk-value"
            size="small"
            style={{ minWidth: 150 }}
            popupMatchSelectWidth={false}
            value={value === '' ? null : value}
            options={
              deed === 'priority'
                ? PRIORITY_FILTERS.map((one) => ({ value: one as string, label: one.toUpperCase() }))
                : (people.data ?? []).map((p) => ({ value: p.name, label: p.display_name || p.name }))
            }
            onChange={(next: string | null) => setValue(next ?? '')}
          />
        ) : (
          <Input
            aria-label={t(`bulk.${deed}`)}
            name="bulk-value"
            size="small"
            style={{ width: deed === 'comment' ? 320 : 130 }}
            placeholder={deed === 'comment' ? t('bulk.text') : t('bulk.number')}
            value={value}
            onChange={(e) => setValue(e.target.value)}
          />
        )}
        {deed === 'comment' && (
          <Checkbox checked={visible} onChange={(e) => setVisible(e.target.checked)}>
            {t('bulk.visible')}
          </Checkbox>
        )}
        <Button
          type="primary"
          size="small"
          data-action="bulk"
          loading={busy}
          disabled={value.trim() === '' || picked.length === 0}
          onClick={() => void run()}
        >
          {t('bulk.run')}
        </Button>
        <Button
          size="small"
          onClick={() => {
            setFailed([]);
            onDone([]);
          }}
        >
          {t('bulk.none')}
        </Button>
      </Space>
      {failed.length > 0 && (
        <Alert
          type="warning"
          title={t('bulk.failed')}
          description={
            <ul>
              {failed.map((one) => (
                <li key={one.number}>{t('bulk.why', { number: one.number, why: one.error?.message ?? '' })}</li>
              ))}
            </ul>
          }
        />
      )}
    </section>
  );
}
