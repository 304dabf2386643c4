import { App, Button, Checkbox, Input, Modal, Popconfirm, Select, Space } from 'antd';
import { useState } from 'react';
import { api, type TicketFilter, type View } from '../api';
import { useI18n } from '../i18n';
import { errorText } from '../i18n/errors';
import { useFetched } from '../live/fetched';
import { COLUMNS, fromView, USUAL_COLUMNS, viewOf, viewQuery } from '../model/queue';
import { useSession } from '../session';

interface Props {
  filter: TicketFilter;
  onChange(part: Partial<TicketFilter>): void;
}

const load = (signal: AbortSignal) => api.views(signal);
const never = () => false;

/** The views that are kept: choosing one, keeping what is shown now. */
export function QueueViews({ filter, onChange }: Props) {
  const { t } = useI18n();
  const { data, reload } = useFetched(load, never);
  const [editing, setEditing] = useState(false);
  const views = data ?? [];
  const present = viewOf(filter, views);
  const group = (shared: boolean) =>
    views.filter((view) => view.shared === shared).map((view) => ({ value: view.id, label: view.name }));
  return (
    <Space.Compact size="small">
      <Select
        aria-label={t('views.label')}
        data-filter="view"
        size="small"
        placeholder={t('views.label')}
        popupMatchSelectWidth={false}
        style={{ minWidth: 130 }}
        value={present?.id ?? null}
        options={[
          { label: t('views.own'), options: group(false) },
          { label: t('views.shared'), options: group(true) },
        ].filter((one) => one.options.length > 0)}
        onChange={(id) => {
          const view = views.find((one) => one.id === id);
          if (view) onChange(fromView(view));
        }}
      />
      <Button size="small" data-action="edit-view" onClick={() => setEditing(true)}>
        {t('views.edit')}
      </Button>
      {editing && (
        <ViewDialogue
          view={present}
          filter={filter}
          onClose={() => setEditing(false)}
          onSaved={(view) => {
            reload();
            setEditing(false);
            if (view) onChange(fromView(view));
          }}
        />
      )}
    </Space.Compact>
  );
}

interface DialogueProps {
  /** The one that is shown; null: a new one. */
  view: View | null;
  filter: TicketFilter;
  onClose(): void;
  onSaved(view: View | null): void;
}

function ViewDialogue({ view, filter, onClose, onSaved }: DialogueProps) {
  const { t } = useI18n();
  const { message } = App.useApp();
  const { phase } = useSession();
  const user = phase.at === 'in' ? phase.user : null;
  const [name, setName] = useState(view?.name ?? '');
  const [shared, setShared] = useState(view?.shared ?? false);
  const [columns, setColumns] = useState<string[]>([...(filter.columns.length > 0 ? filter.columns : USUAL_COLUMNS)]);
  const [busy, setBusy] = useState(false);
  const mine = view !== null && (view.owner === user?.name || ['manager', 'administrator'].includes(user?.role ?? ''));
  const run = async (act: () => Promise<View | null>) => {
    setBusy(true);
    try {
      onSaved(await act());
      void message.success(t('views.saved'));
    } catch (error) {
      void message.warning(errorText(error, t), 8);
      setBusy(false);
    }
  };
  const usual = columns.join() === USUAL_COLUMNS.join();
  const wish = { name: name.trim(), shared, query: viewQuery(filter), columns: usual ? [] : columns };
  return (
    <Modal
      open
      title={t('views.title')}
      mask={{ closable: false }}
      onCancel={onClose}
      footer={[
        mine && (
          <Popconfirm
            key="remove"
            title={t('views.remove-sure', { name: view.name })}
            onConfirm={() => void run(async () => (await api.removeView(view.id, view.version), null))}
          >
            <Button danger>{t('masters.remove')}</Button>
          </Popconfirm>
        ),
        mine && (
          <Button
            key="change"
            loading={busy}
            disabled={wish.name === ''}
            onClick={() => void run(() => api.changeView(view.id, { ...wish, version: view.version }))}
          >
            {t('views.change')}
          </Button>
        ),
        <Button
          key="keep"
          type="primary"
          data-action="keep-view"
          loading={busy}
          disabled={wish.name === '' || wish.name === view?.name}
          onClick={() => void run(() => api.keepView({ ...wish, version: 0 }))}
        >
          {t('views.keep')}
        </Button>,
      ]}
    >
      <div className="stacked">
        <p className="hint">{t('views.hint')}</p>
        <label className="stacked">
          <span>{t('views.name')}</span>
          <Input name="view-name" maxLength={60} value={name} onChange={(e) => setName(e.target.value)} />
        </label>
        <Checkbox checked={shared} onChange={(e) => setShared(e.target.checked)}>
          {t('views.for-all')}
        </Checkbox>
        <label className="stacked">
          <span>{t('views.columns')}</span>
          <Select
            mode="multiple"
            aria-label={t('views.columns')}
            data-field="columns"
            value={columns}
            options={COLUMNS.map((value) => ({ value, label: t(`queue.${value}`) }))}
            onChange={setColumns}
          />
        </label>
      </div>
    </Modal>
  );
}
