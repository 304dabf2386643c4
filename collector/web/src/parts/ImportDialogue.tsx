import { App, Alert, Button, Modal } from 'antd';
import { useState } from 'react';
import { api, ApiError, type ImportDone } from '../api';
import { useI18n } from '../i18n';
import { errorText } from '../i18n/errors';
import type { Kind } from '../model/desk';

interface Props {
  kind: Kind;
  onDone(): void;
  onClose(): void;
}

interface Chosen {
  name: string;
  format: 'csv' | 'json';
  text: string;
}

/** A file is tried first: what it would do, or every fault with its place. */
export function ImportDialogue({ kind, onDone, onClose }: Props) {
  const { t } = useI18n();
  const { message } = App.useApp();
  const [file, setFile] = useState<Chosen | null>(null);
  const [would, setWould] = useState<ImportDone | null>(null);
  const [faults, setFaults] = useState('');
  const [busy, setBusy] = useState(false);
  const counts = (done: ImportDone) => ({ n: done.new, c: done.changed, u: done.unchanged });

  const run = async (chosen: Chosen, dry: boolean) => {
    setBusy(true);
    setFaults('');
    try {
      const done = await api.importMasters(kind, chosen.format, chosen.text, dry);
      setWould(done);
      if (dry) return;
      void message.success(t('masters.done', counts(done)));
      onDone();
      onClose();
    } catch (error) {
      setWould(null);
      const told = error instanceof ApiError && error.code === 'malformed' ? error.message : errorText(error, t);
      setFaults(told);
    } finally {
      setBusy(false);
    }
  };
  const choose = async (chosen: File | undefined) => {
    if (!chosen) return;
    const format = chosen.name.toLowerCase().endsWith('.json') ? 'json' : 'csv';
    const one: Chosen = { name: chosen.name, format, text: await chosen.text() };
    setFile(one);
    await run(one, true);
  };
  return (
    <Modal
      open
      width={760}
      title={t('masters.import')}
      onCancel={onClose}
      mask={{ closable: false }}
      footer={[
        <Button key="cancel" onClick={onClose}>
          {t('masters.cancel')}
        </Button>,
        <Button
          key="take"
          type="primary"
          data-action="take-file"
          loading={busy}
          disabled={would === null || file === null}
          onClick={() => file && void run(file, false)}
        >
          {t('masters.take')}
        </Button>,
      ]}
    >
      <div className="stacked">
        <p className="hint">{t('masters.import-hint')}</p>
        <label className="stacked">
          <span>{t('masters.choose')}</span>
          <input
            type="file"
            name="file"
            accept=".csv,.json"
            onChange={(e) => {
              void choose(e.target.files?.[0]);
              // The same file, mended, may be chosen again.
              e.target.value = '';
            }}
          />
          {file !== null && <span className="hint">{file.name}</span>}
        </label>
        {would !== null && <Alert type="info" showIcon title={t('masters.would', counts(would))} />}
        {faults !== '' && <pre className="faults" data-part="faults">{faults}</pre>}
      </div>
    </Modal>
  );
}
