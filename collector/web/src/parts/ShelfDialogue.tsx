import { Alert, App, Button, Input, Modal, Popconfirm } from 'antd';
import { useState } from 'react';
import { useI18n } from '../i18n';
import { errorText } from '../i18n/errors';
import { parsed } from '../model/shelf';

interface Props {
  /** Null: a new one. */
  name: string | null;
  version: number;
  body: unknown;
  readOnly: boolean;
  put(name: string, version: number, body: unknown): Promise<unknown>;
  remove(name: string, version: number): Promise<unknown>;
  onSaved(): void;
  onClose(): void;
}

/** A plan or a calendar as it is written: JSON, whose faults the collector tells with their place. */
export function ShelfDialogue({ name, version, body, readOnly, put, remove, onSaved, onClose }: Props) {
  const { t } = useI18n();
  const { message } = App.useApp();
  const [id, setId] = useState(name ?? '');
  const [text, setText] = useState(() => JSON.stringify(body, null, 2));
  const [trouble, setTrouble] = useState('');
  const [busy, setBusy] = useState(false);
  const run = async (act: () => Promise<unknown>) => {
    setBusy(true);
    try {
      await act();
      void message.success(t('masters.saved', { id }));
      onSaved();
      onClose();
    } catch (error) {
      setTrouble(errorText(error, t));
      setBusy(false);
    }
  };
  const save = () => {
    const read = parsed(text);
    if ('value' in read) void run(() => put(id.trim(), version, read.value));
    else setTrouble(t('shelf.not-json', { line: read.line, column: read.column, what: read.what }));
  };
  return (
    <Modal
      open
      width={760}
      title={name ?? t('masters.add')}
      mask={{ closable: false }}
      onCancel={onClose}
      footer={
        readOnly
          ? null
          : [
              name !== null && (
                <Popconfirm key="remove" title={t('masters.remove-sure', { id: name })} onConfirm={() => void run(() => remove(name, version))}>
                  <Button danger>{t('masters.remove')}</Button>
                </Popconfirm>
              ),
              <Button key="cancel" onClick={onClose}>
                {t('masters.cancel')}
              </Button>,
              <Button key="save" type="primary" data-action="save-shelf" loading={busy} disabled={id.trim() === ''} onClick={save}>
                {t('masters.save')}
              </Button>,
            ]
      }
    >
      <div className="stacked">
        {trouble !== '' && <Alert type="warning" showIcon title={trouble} />}
        {name === null && (
          <label className="stacked">
            <span>{t('shelf.name')}</span>
            <Input name="shelf-name" maxLength={40} value={id} onChange={(e) => setId(e.target.value)} />
          </label>
        )}
        <label className="stacked">
          <span>{t('shelf.body')}</span>
          <Input.TextArea name="shelf-body" className="code" spellCheck={false} rows={20} readOnly={readOnly} value={text} onChange={(e) => setText(e.target.value)} />
        </label>
      </div>
    </Modal>
  );
}
