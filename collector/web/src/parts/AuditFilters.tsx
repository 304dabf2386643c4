import { Button, Input, Select } from 'antd';
import { useState } from 'react';
import type { AuditFilter } from '../api';
import { useI18n } from '../i18n';
import { named } from '../i18n/named';
import { DEEDS, fromField, isAuditFiltered, toField } from '../model/audit';

interface Props {
  filter: AuditFilter;
  onChange(part: Partial<AuditFilter>): void;
}

export function AuditFilters({ filter, onChange }: Props) {
  const { t } = useI18n();
  const none: Partial<AuditFilter> = { agent: '', who: '', what: '', from: '', to: '' };
  return (
    <div className="filters" role="search">
      <Select
        aria-label={t('audit.filter-what')}
        data-filter="what"
        value={filter.what}
        popupMatchSelectWidth={false}
        style={{ minWidth: 150 }}
        options={[
          { value: '', label: t('audit.any-what') },
          ...DEEDS.map((value) => ({ value, label: named('deed', value, t) })),
        ]}
        onChange={(what) => onChange({ what })}
      />
      <Name
        key={`agent ${filter.agent}`}
        name="agent"
        label={t('audit.filter-agent-label')}
        placeholder={t('audit.filter-agent')}
        value={filter.agent}
        onEnter={(agent) => onChange({ agent })}
      />
      <Name
        key={`who ${filter.who}`}
        name="who"
        label={t('audit.filter-who-label')}
        placeholder={t('audit.filter-who')}
        value={filter.who}
        onEnter={(who) => onChange({ who })}
      />
      <When name="from" label={t('audit.from')} value={filter.from} onEnter={(from) => onChange({ from })} />
      <When name="to" label={t('audit.to')} value={filter.to} onEnter={(to) => onChange({ to })} />
      {isAuditFiltered(filter) && (
        <Button type="link" size="small" data-action="reset" onClick={() => onChange(none)}>
          {t('audit.reset')}
        </Button>
      )}
    </div>
  );
}

interface NameProps {
  name: string;
  label: string;
  placeholder: string;
  value: string;
  onEnter(value: string): void;
}

/** Asks with Enter, or when the field is left. */
function Name({ name, label, placeholder, value, onEnter }: NameProps) {
  const [text, setText] = useState(value);
  const enter = () => {
    if (text.trim() !== value) onEnter(text.trim());
  };
  return (
    <Input
      name={name}
      aria-label={label}
      placeholder={placeholder}
      maxLength={200}
      style={{ width: name === 'who' ? 210 : 140 }}
      value={text}
      onChange={(e) => setText(e.target.value)}
      onPressEnter={enter}
      onBlur={enter}
    />
  );
}

function When({ name, label, value, onEnter }: { name: string; label: string; value: string; onEnter(at: string): void }) {
  return (
    <label className="when">
      <span>{label}</span>
      <input
        type="datetime-local"
        name={name}
        value={toField(value)}
        max="9999-12-31T23:59"
        onChange={(e) => onEnter(fromField(e.target.value))}
      />
    </label>
  );
}
