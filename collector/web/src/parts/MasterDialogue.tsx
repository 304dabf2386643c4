import { Alert, App, Button, Input, Modal, Popconfirm, Select } from 'antd';
import { useState } from 'react';
import { api, ApiError, type Master } from '../api';
import { useI18n } from '../i18n';
import { errorText } from '../i18n/errors';
import { named } from '../i18n/named';
import { changed, FIELDS, type Field, type Kind } from '../model/desk';

interface Props {
  kind: Kind;
  /** Null: a new one. */
  record: Master | null;
  readOnly: boolean;
  onSaved(): void;
  onClose(): void;
}

/** One customer, site, contact, contract or device. When somebody was faster, both versions are shown. */
export function MasterDialogue({ kind, record, readOnly, onSaved, onClose }: Props) {
  const { t } = useI18n();
  const { message } = App.useApp();
  const [base, setBase] = useState(record);
  const [id, setId] = useState(record?.id ?? '');
  const [values, setValues] = useState<Record<string, string>>(record?.values ?? {});
  const [mine, setMine] = useState<Record<string, string> | null>(null);
  const [trouble, setTrouble] = useState('');
  const [busy, setBusy] = useState(false);

  const failed = (error: unknown) => {
    setBusy(false);
    if (error instanceof ApiError && error.code === 'version_conflict' && error.present) {
      setMine(changed(base?.values ?? {}, values));
      setBase(error.present);
      setValues(error.present.values);
      setTrouble(t('masters.conflict'));
    } else {
      setTrouble(errorText(error, t));
    }
  };
  const save = async () => {
    setBusy(true);
    try {
      const saved =
        base === null
          ? await api.addMaster(kind, id.trim(), values)
          : await api.changeMaster(kind, base.id, base.version, changed(base.values, values));
      void message.success(t('masters.saved', { id: saved.id }));
      onSaved();
      onClose();
    } catch (error) {
      failed(error);
    }
  };
  const remove = async () => {
    if (base === null) return;
    try {
      await api.removeMaster(kind, base.id, base.version);
      void message.success(t('masters.removed', { id: base.id }));
      onSaved();
      onClose();
    } catch (error) {
      failed(error);
    }
  };
  const missing =
    (base === null && id.trim() === '' && kind !== 'contacts') ||
    FIELDS[kind].some((field) => field.required && (values[field.name] ?? '').trim() === '');
  return (
    <Modal
      open
      title={base === null ? t('masters.add') : t('masters.edit', { id: base.id })}
      onCancel={onClose}
      mask={{ closable: false }}
      footer={
        readOnly
          ? null
          : [
              base !== null && (
                <Popconfirm key="remove" title={t('masters.remove-sure', { id: base.id })} onConfirm={() => void remove()}>
                  <Button danger>{t('masters.remove')}</Button>
                </Popconfirm>
              ),
              <Button key="cancel" onClick={onClose}>
                {t('masters.cancel')}
              </Button>,
              <Button key="save" type="primary" data-action="save-master" loading={busy} disabled={missing} onClick={() => void save()}>
                {t('masters.save')}
              </Button>,
            ]
      }
    >
      <div className="stacked">
        {trouble !== '' && <Alert type="warning" showIcon title={trouble} />}
        <label className="stacked">
          <span>{t('field.id')}</span>
          <Input name="id" disabled={base !== null || readOnly} maxLength={100} value={id} onChange={(e) => setId(e.target.value)} />
        </label>
        {FIELDS[kind].map((field) => (
          <label key={field.name} className="stacked">
            <span>
              {named('field', field.name, t)}
              {field.required && ' *'}
            </span>
            <Entry
              field={field}
              disabled={readOnly}
              value={values[field.name] ?? ''}
              onChange={(text) => setValues({ ...values, [field.name]: text })}
            />
            {mine?.[field.name] !== undefined && <span className="warn">{t('masters.yours', { text: mine[field.name] ?? '' })}</span>}
          </label>
        ))}
      </div>
    </Modal>
  );
}

interface EntryProps {
  field: Field;
  value: string;
  disabled: boolean;
  onChange(text: string): void;
}

function Entry({ field, value, disabled, onChange }: EntryProps) {
  const { t } = useI18n();
  if (field.words) {
    const words = field.required ? field.words : ['', ...field.words];
    return (
      <Select
        data-field={field.name}
        disabled={disabled}
        value={value === '' && field.required ? null : value}
        options={words.map((word) => ({ value: word, label: word === '' ? t('app.none') : named('choice', word, t) }))}
        onChange={(word) => onChange(word ?? '')}
      />
    );
  }
  const props = { name: field.name, value, disabled };
  if (field.long) return <Input.TextArea {...props} rows={2} onChange={(e) => onChange(e.target.value)} />;
  return <Input {...props} {...(field.day ? { type: 'date' } : {})} maxLength={500} onChange={(e) => onChange(e.target.value)} />;
}
