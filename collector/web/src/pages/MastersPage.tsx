import { Button, Checkbox, Input, Table } from 'antd';
import { useCallback, useMemo, useState } from 'react';
import { api, mastersExport, type Master } from '../api';
import { useI18n } from '../i18n';
import { errorText } from '../i18n/errors';
import { named } from '../i18n/named';
import { useFetched } from '../live/fetched';
import { FIELDS, mayKeep, type Kind } from '../model/desk';
import { visible } from '../model/evidence';
import { ImportDialogue } from '../parts/ImportDialogue';
import { MasterDialogue } from '../parts/MasterDialogue';
import { MastersTabs } from '../parts/MastersTabs';
import { Trouble } from '../parts/Notice';
import { useSession } from '../session';
import { useTitle } from '../title';

const never = () => false;

/** Customers, sites, contacts, contracts and the installed base. */
export default function MastersPage({ kind }: { kind: Kind }) {
  const { t } = useI18n();
  useTitle(t('masters.title'));
  return (
    <div className="page">
      <div className="page-head">
        <h1>{t('masters.title')}</h1>
      </div>
      <MastersTabs active={kind} />
      <MasterList key={kind} kind={kind} />
    </div>
  );
}

function MasterList({ kind }: { kind: Kind }) {
  const { t } = useI18n();
  const { phase } = useSession();
  const keeps = phase.at === 'in' && mayKeep(phase.user);
  const [q, setQ] = useState('');
  const [waiting, setWaiting] = useState(false);
  const [trail, setTrail] = useState<readonly string[]>(['']);
  const [edited, setEdited] = useState<Master | 'new' | null>(null);
  const [importing, setImporting] = useState(false);
  const after = trail.at(-1) ?? '';
  const load = useCallback(
    (signal: AbortSignal) => api.masters(kind, q, waiting, after, signal),
    [kind, q, waiting, after],
  );
  const { data, error, loading, reload } = useFetched(load, never);
  const columns = useMemo(
    () =>
      FIELDS[kind]
        .filter((field) => field.name !== 'note' && field.name !== 'serials')
        .map((field) => ({
          title: named('field', field.name, t),
          key: field.name,
          render: (_: unknown, row: Master) => {
            const text = row.values[field.name] ?? '';
            return visible(field.words ? named('choice', text, t) : text);
          },
        })),
    [kind, t],
  );
  const ask = (text: string) => {
    setTrail(['']);
    setQ(text.trim());
  };
  const id = (row: Master) => (
    <span className="inline">
      <Button type="link" size="small" data-master={row.id} onClick={() => setEdited(row)}>
        {visible(row.id)}
      </Button>
      {row.to_complete && <span className="mark">{t('masters.to-complete')}</span>}
    </span>
  );
  return (
    <>
      <div className="filters" role="search">
        <Input.Search allowClear aria-label={t('masters.search')} placeholder={t('masters.search')} maxLength={200} style={{ width: 240 }} onSearch={ask} />
        <Checkbox
          checked={waiting}
          onChange={(e) => {
            setTrail(['']);
            setWaiting(e.target.checked);
          }}
        >
          {t('masters.to-complete')}
        </Checkbox>
        <span className="grow" />
        {keeps && (
          <Button type="primary" data-action="add" onClick={() => setEdited('new')}>
            {t('masters.add')}
          </Button>
        )}
        {keeps && (
          <Button data-action="import" onClick={() => setImporting(true)}>
            {t('masters.import')}
          </Button>
        )}
        <Button href={mastersExport(kind, 'csv')} download>
          {t('masters.export')}
        </Button>
      </div>
      {error !== null && <Trouble text={errorText(error, t)} onRetry={reload} />}
      <Table<Master>
        size="small"
        rowKey="id"
        dataSource={data?.items ?? []}
        loading={loading && error === null}
        pagination={false}
        scroll={{ x: 760 }}
        locale={{ emptyText: <p className="empty">{t('masters.empty')}</p> }}
        columns={[{ title: t('field.id'), key: 'id', render: (_, row) => id(row) }, ...columns]}
      />
      <div className="page-foot">
        <span className="grow" />
        <Button size="small" disabled={trail.length < 2} onClick={() => setTrail(trail.slice(0, -1))}>
          {t('queue.newer')}
        </Button>
        <Button size="small" disabled={!data?.next} onClick={() => setTrail([...trail, data?.next ?? ''])}>
          {t('masters.more')}
        </Button>
      </div>
      {edited !== null && (
        <MasterDialogue kind={kind} record={edited === 'new' ? null : edited} readOnly={!keeps} onSaved={reload} onClose={() => setEdited(null)} />
      )}
      {importing && <ImportDialogue kind={kind} onDone={reload} onClose={() => setImporting(false)} />}
    </>
  );
}
