import { App, Button, Checkbox, Input, Select, Space } from 'antd';
import { useCallback, useState, type ReactNode } from 'react';
import { Link } from 'wouter';
import { api, ApiError, type Master, type TicketChange, type TicketPage } from '../api';
import { useI18n } from '../i18n';
import { errorText } from '../i18n/errors';
import { named } from '../i18n/named';
import { useFetched } from '../live/fetched';
import { CATEGORIES, CLASSES, PRIORITIES } from '../model/desk';
import { visible } from '../model/evidence';
import { coverText } from '../model/timeline';
import { Facts, Panel } from './Facts';
import { SplitButton } from './SplitDialogue';

const never = () => false;
const loadPeople = (signal: AbortSignal) => api.people(signal);
const OVER = ['closed', 'reviewed', 'rejected', 'merged'];

interface Props {
  page: TicketPage;
  onChanged(): void;
}

/** What is promised, who works on it, what it has to do with other tickets. */
export function ServicePanel({ page, onChanged }: Props) {
  const { t } = useI18n();
  const { ticket, links, contacts } = page;
  const cover = ticket.entitlement;
  const facts: [string, ReactNode][] = [
    [
      t('service.entitlement'),
      <span key="cover" className={cover?.verdict === 'not-covered' ? 'warn' : ''} data-cover={cover?.verdict ?? 'unchecked'}>
        {cover === null ? t('service.unchecked') : coverText({ ...cover }, t)}
      </span>,
    ],
    [t('service.plan'), ticket.plan],
    [t('service.class'), named('class', ticket.class, t)],
    [t('service.category'), ticket.category && named('category', ticket.category, t)],
    [t('service.level'), ticket.level && named('level', ticket.level, t)],
  ];
  if (ticket.opened_by !== null) facts.push([t('service.opened-by'), ticket.opened_by]);
  for (const [name, text] of Object.entries(ticket.intake)) {
    if (text !== '') facts.push([named('intake', name, t), visible(text)]);
  }
  if (ticket.merged_into !== null) {
    facts.push([t('service.merged-into'), <Link key="into" href={`/tickets/${ticket.merged_into}`}>{ticket.merged_into}</Link>]);
  }
  return (
    <Panel title={t('service.title')} extra={ticket.major && <span className="mark severity critical">{t('service.major')}</span>}>
      <Facts items={facts} />
      {ticket.closing !== null && (
        <div className="repair" data-part="closing">
          <strong>{t('service.closing')}</strong>
          <p>{t('transition.cause')}: {visible(ticket.closing.cause)}</p>
          <p>{t('transition.fix')}: {visible(ticket.closing.fix)}</p>
        </div>
      )}
      {contacts.length > 0 && <Contacts contacts={contacts} />}
      {!OVER.includes(ticket.state) && <ChangeForm page={page} onChanged={onChanged} />}
      <Others page={page} links={links} onChanged={onChanged} />
    </Panel>
  );
}

function Contacts({ contacts }: { contacts: readonly Master[] }) {
  const { t } = useI18n();
  return (
    <div className="stacked" data-part="contacts">
      <strong>{t('service.contacts')}</strong>
      {contacts.map(({ id, values }) => (
        <span key={id}>
          {visible([values.name, values.phone, values.mail].filter(Boolean).join(' · '))}
        </span>
      ))}
    </div>
  );
}

/** Tells what went wrong and whether the page must be read again. */
function useTold(onChanged: () => void) {
  const { t } = useI18n();
  const { message } = App.useApp();
  return useCallback(
    (error: unknown) => {
      const conflict = error instanceof ApiError && error.code === 'version_conflict';
      void message.warning(conflict ? t('ticket.conflict') : errorText(error, t), 8);
      if (conflict) onChanged();
    },
    [message, onChanged, t],
  );
}

function ChangeForm({ page: { ticket }, onChanged }: Props) {
  const { t } = useI18n();
  const { message } = App.useApp();
  const people = useFetched(loadPeople, never);
  const told = useTold(onChanged);
  const [wish, setWish] = useState<TicketChange>({});
  const [busy, setBusy] = useState(false);
  const save = async () => {
    setBusy(true);
    try {
      await api.changeTicket(ticket.number, ticket.version, wish);
      setWish({});
      void message.success(t('service.saved', { number: ticket.number }));
      onChanged();
    } catch (error) {
      told(error);
    } finally {
      setBusy(false);
    }
  };
  const options = (people.data ?? []).map((p) => ({
    value: p.name,
    label: `${p.display_name} (${named('role', p.role, t)})`,
  }));
  return (
    <div className="stacked change-form">
      <Select
        aria-label={t('service.assign')}
        data-field="assignee"
        showSearch={{ optionFilterProp: 'label' }}
        placeholder={t('service.assign')}
        disabled={ticket.state === 'waiting_approval'}
        value={wish.assignee ?? ticket.assignee}
        options={options}
        onChange={(assignee) => setWish({ ...wish, assignee: assignee ?? '' })}
      />
      <Space wrap>
        <Select
          aria-label={t('service.priority')}
          data-field="priority"
          value={wish.priority ?? ticket.priority}
          options={PRIORITIES.map((value) => ({ value, label: value.toUpperCase() }))}
          onChange={(priority) => setWish({ ...wish, priority })}
        />
        <Select
          aria-label={t('service.class')}
          data-field="class"
          popupMatchSelectWidth={false}
          value={wish.class ?? ticket.class}
          options={CLASSES.map((value) => ({ value, label: t(`class.${value}`) }))}
          onChange={(value) => setWish({ ...wish, class: value })}
        />
        <Select
          aria-label={t('service.category')}
          data-field="category"
          popupMatchSelectWidth={false}
          placeholder={t('service.category')}
          style={{ minWidth: 110 }}
          value={wish.category ?? ticket.category}
          options={CATEGORIES.map((value) => ({ value, label: t(`category.${value}`) }))}
          onChange={(category) => setWish({ ...wish, category: category ?? '' })}
        />
        <Checkbox checked={wish.major ?? ticket.major} onChange={(e) => setWish({ ...wish, major: e.target.checked })}>
          {t('service.major')}
        </Checkbox>
      </Space>
      <Button
        data-action="save-service"
        disabled={Object.keys(wish).length === 0}
        loading={busy}
        onClick={() => void save()}
      >
        {t('service.save')}
      </Button>
    </div>
  );
}

function Others({ page, links, onChanged }: Props & { links: readonly string[] }) {
  const { ticket } = page;
  const { t } = useI18n();
  const told = useTold(onChanged);
  const [other, setOther] = useState('');
  const act = (work: Promise<unknown>) =>
    work.then(() => {
      setOther('');
      onChanged();
    }, told);
  return (
    <div className="stacked" data-part="links">
      {links.length > 0 && <strong>{t('service.links')}</strong>}
      {links.map((number) => (
        <span key={number} className="inline">
          <Link href={`/tickets/${number}`}>{number}</Link>
          <Button
            type="link"
            size="small"
            aria-label={t('service.unlink', { number })}
            onClick={() => void act(api.link(ticket.number, number, false))}
          >
            ×
          </Button>
        </span>
      ))}
      <Space.Compact>
        <Input
          name="other"
          aria-label={t('service.other')}
          placeholder={t('service.other')}
          maxLength={20}
          value={other}
          onChange={(e) => setOther(e.target.value)}
        />
        <Button disabled={other.trim() === ''} onClick={() => void act(api.link(ticket.number, other.trim(), true))}>
          {t('service.link')}
        </Button>
        {!OVER.includes(ticket.state) && (
          <Button
            disabled={other.trim() === ''}
            onClick={() => void act(api.merge(ticket.number, ticket.version, other.trim()))}
          >
            {t('service.merge')}
          </Button>
        )}
      </Space.Compact>
      {!OVER.includes(ticket.state) && <SplitButton page={page} onChanged={onChanged} />}
    </div>
  );
}
