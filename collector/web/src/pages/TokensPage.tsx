import { Alert, App, Button, Input, InputNumber, Popconfirm, Select, Table, type TableColumnsType } from 'antd';
import { useState } from 'react';
import { api, type ApiToken, type TokenMade } from '../api';
import { useI18n, type Translate } from '../i18n';
import { errorText } from '../i18n/errors';
import { named } from '../i18n/named';
import { useFetched } from '../live/fetched';
import { visible } from '../model/evidence';
import { CopyButton } from '../parts/CopyButton';
import { Moment } from '../parts/Moment';
import { Trouble } from '../parts/Notice';
import { useTitle } from '../title';

const load = async (signal: AbortSignal) => {
  const [tokens, people] = await Promise.all([api.tokens(signal), api.people(signal)]);
  return { ...tokens, people };
};
// Nothing tells of tokens.
const never = () => false;

/** Tokens with which programs ask the API: made, shown once, ended. */
export default function TokensPage() {
  const { t } = useI18n();
  useTitle(t('tokens.title'));
  const { data, error, loading, reload } = useFetched(load, never);
  return (
    <div className="page">
      <div className="page-head">
        <h1>{t('tokens.title')}</h1>
        <span className="hint">{t('tokens.hint')}</span>
      </div>
      <NewToken scopes={data?.scopes ?? []} owners={(data?.people ?? []).map((p) => p.name)} onMade={reload} />
      {error !== null && <Trouble text={errorText(error, t)} onRetry={reload} />}
      <Table<ApiToken>
        size="small"
        rowKey="id"
        columns={columnsOf(t, reload)}
        dataSource={data?.items ?? []}
        loading={loading}
        pagination={{ pageSize: 50, hideOnSinglePage: true }}
        scroll={{ x: 1100 }}
        locale={{ emptyText: loading ? ' ' : <p className="empty">{t('tokens.none')}</p> }}
      />
    </div>
  );
}

function NewToken({ scopes, owners, onMade }: { scopes: string[]; owners: string[]; onMade(): void }) {
  const { t } = useI18n();
  const { message } = App.useApp();
  const [name, setName] = useState('');
  const [chosen, setChosen] = useState<string[]>([]);
  const [owner, setOwner] = useState<string | null>(null);
  const [sites, setSites] = useState<string[]>([]);
  const [days, setDays] = useState(365);
  const [made, setMade] = useState<TokenMade | null>(null);
  const [busy, setBusy] = useState(false);
  const make = async () => {
    if (name.trim() === '' || chosen.length === 0 || owner === null) {
      void message.info(t('tokens.incomplete'));
      return;
    }
    setBusy(true);
    try {
      setMade(await api.makeToken({ name: name.trim(), scopes: chosen, owner, sites, valid_days: days }));
      setName('');
      setChosen([]);
      setSites([]);
      onMade();
    } catch (error) {
      void message.error(errorText(error, t));
    } finally {
      setBusy(false);
    }
  };
  return (
    <section className="panel maintenance-form">
      <div className="row">
        <Input
          aria-label={t('tokens.name')}
          placeholder={t('tokens.name')}
          maxLength={60}
          style={{ width: 180 }}
          value={name}
          onChange={(e) => setName(e.target.value)}
        />
        <Select<string[]>
          aria-label={t('tokens.scopes')}
          placeholder={t('tokens.scopes')}
          mode="multiple"
          style={{ minWidth: 300 }}
          value={chosen}
          onChange={setChosen}
          options={scopes.map((scope) => ({ value: scope, label: scopeText(scope, t) }))}
        />
        <Select<string | null>
          aria-label={t('tokens.owner')}
          placeholder={t('tokens.owner')}
          showSearch
          style={{ width: 180 }}
          value={owner}
          onChange={setOwner}
          options={owners.map((value) => ({ value, label: value }))}
        />
        <Select<string[]>
          aria-label={t('tokens.sites')}
          placeholder={t('tokens.sites')}
          mode="tags"
          style={{ minWidth: 180 }}
          value={sites}
          onChange={setSites}
          open={false}
        />
        <InputNumber<number>
          aria-label={t('tokens.days')}
          min={1}
          max={3660}
          precision={0}
          value={days}
          suffix={t('tokens.days')}
          style={{ width: 120 }}
          onChange={(value) => setDays(value ?? 365)}
        />
        <Button type="primary" loading={busy} onClick={() => void make()} data-action="make-token">
          {t('tokens.make')}
        </Button>
      </div>
      {made !== null && (
        <Alert
          type="success"
          closable={{ onClose: () => setMade(null) }}
          title={t('tokens.made', { name: made.token.name })}
          description={
            <>
              <code data-token={made.token.id}>{made.text}</code> <CopyButton text={made.text} />
            </>
          }
        />
      )}
    </section>
  );
}

const scopeText = (scope: string, t: Translate) => `${named('scope', scope.replace(':', '-'), t)} (${scope})`;

function columnsOf(t: Translate, reload: () => void): TableColumnsType<ApiToken> {
  const state = (token: ApiToken) => {
    if (token.good) return 'good';
    return token.revoked_at === null ? 'expired' : 'revoked';
  };
  return [
    {
      title: t('tokens.state'),
      width: 90,
      render: (_, token) => (
        <span className="mark" data-token-row={token.id} data-state={state(token)}>
          {t(`tokens.is-${state(token)}`)}
        </span>
      ),
    },
    { title: t('tokens.name'), width: 180, render: (_, token) => visible(token.name) },
    { title: t('tokens.scopes'), render: (_, token) => token.scopes.map((s) => scopeText(s, t)).join(', ') },
    { title: t('tokens.owner'), width: 120, render: (_, token) => token.owner },
    { title: t('tokens.sites'), width: 150, render: (_, token) => visible(token.sites.join(', ')) || t('tokens.all-sites') },
    { title: t('tokens.expires'), width: 170, render: (_, token) => <Moment at={token.expires_at} /> },
    {
      title: t('tokens.used'),
      width: 170,
      render: (_, token) => (token.last_used_at === null ? t('tokens.never') : <Moment at={token.last_used_at} />),
    },
    { title: '', width: 100, render: (_, token) => token.good && <EndButton id={token.id} onEnded={reload} /> },
  ];
}

function EndButton({ id, onEnded }: { id: string; onEnded(): void }) {
  const { t } = useI18n();
  const { message } = App.useApp();
  const end = async () => {
    try {
      await api.revokeToken(id);
      onEnded();
    } catch (error) {
      void message.error(errorText(error, t));
    }
  };
  return (
    <Popconfirm title={t('tokens.end-sure')} onConfirm={() => void end()}>
      <Button size="small" danger data-action="revoke-token">
        {t('tokens.end')}
      </Button>
    </Popconfirm>
  );
}
