import { Checkbox, Input, Segmented, Select } from 'antd';
import { useEffect, useState } from 'react';
import { api, type TicketFilter } from '../api';
import { useI18n } from '../i18n';
import { useFetched } from '../live/fetched';
import { PAGE_SIZES, PRIORITY_FILTERS, SEVERITY_FILTERS, SORTS, STATE_FILTERS } from '../model/queue';

interface Props {
  filter: TicketFilter;
  onChange(part: Partial<TicketFilter>): void;
}

export function QueueFilters({ filter, onChange }: Props) {
  const { t } = useI18n();
  return (
    <div className="filters" role="search">
      <Select
        aria-label={t('queue.filter-state')}
        data-filter="state"
        value={filter.state}
        popupMatchSelectWidth={false}
        style={{ minWidth: 130 }}
        options={STATE_FILTERS.map((value) => ({ value, label: t(`state.${value}`) }))}
        onChange={(state) => onChange({ state })}
      />
      <Select
        aria-label={t('queue.filter-severity')}
        data-filter="severity"
        value={filter.severity}
        popupMatchSelectWidth={false}
        style={{ minWidth: 120 }}
        options={[
          { value: '', label: t('queue.any-severity') },
          ...SEVERITY_FILTERS.map((value) => ({ value, label: t(`severity.${value}`) })),
        ]}
        onChange={(severity) => onChange({ severity })}
      />
      <Select
        aria-label={t('queue.filter-priority')}
        data-filter="priority"
        value={filter.priority}
        popupMatchSelectWidth={false}
        options={[
          { value: '', label: t('queue.any-priority') },
          ...PRIORITY_FILTERS.map((value) => ({ value, label: value.toUpperCase() })),
        ]}
        onChange={(priority) => onChange({ priority })}
      />
      <AssigneeSelect value={filter.assignee} onChange={(assignee) => onChange({ assignee })} />
      <SearchField key={filter.q} value={filter.q} onSearch={(q) => onChange({ q })} />
      <Checkbox checked={filter.test} onChange={(e) => onChange({ test: e.target.checked })}>
        {t('queue.tests')}
      </Checkbox>
      <Segmented
        size="small"
        aria-label={t('queue.order')}
        data-filter="sort"
        value={filter.sort}
        onChange={(sort) => onChange({ sort })}
        options={SORTS.map((value) => ({ value, label: t(`queue.by-${value}`) }))}
      />
      <Select
        aria-label={t('queue.per-page-label')}
        value={filter.limit}
        popupMatchSelectWidth={false}
        options={PAGE_SIZES.map((value) => ({ value, label: t('queue.per-page', { n: value }) }))}
        onChange={(limit) => onChange({ limit })}
      />
    </div>
  );
}

const loadPeople = (signal: AbortSignal) => api.people(signal);
const never = () => false;

function AssigneeSelect({ value, onChange }: { value: string; onChange(name: string): void }) {
  const { t } = useI18n();
  const people = useFetched(loadPeople, never);
  return (
    <Select
      aria-label={t('queue.filter-assignee')}
      data-filter="assignee"
      value={value}
      popupMatchSelectWidth={false}
      showSearch={{ optionFilterProp: 'label' }}
      style={{ minWidth: 110 }}
      options={[
        { value: '', label: t('queue.anybody') },
        { value: 'me', label: t('queue.mine') },
        { value: 'none', label: t('queue.nobody') },
        ...(people.data ?? []).map((p) => ({ value: p.name, label: p.display_name || p.name })),
      ]}
      onChange={onChange}
    />
  );
}

/** Searches a moment after the last key, or at once with Enter. */
function SearchField({ value, onSearch }: { value: string; onSearch(q: string): void }) {
  const { t } = useI18n();
  const [text, setText] = useState(value);
  // A field that was just used keeps the cursor when its answer arrives.
  const [composing, setComposing] = useState(false);
  useEffect(() => {
    if (text.trim() === value || composing) return;
    const wait = setTimeout(() => onSearch(text.trim()), 400);
    return () => clearTimeout(wait);
  }, [text, value, composing, onSearch]);
  return (
    <Input.Search
      aria-label={t('queue.search-label')}
      placeholder={t('queue.search')}
      allowClear
      maxLength={200}
      style={{ width: 240 }}
      value={text}
      onCompositionStart={() => setComposing(true)}
      onCompositionEnd={() => setComposing(false)}
      onChange={(e) => setText(e.target.value)}
      onSearch={(q) => onSearch(q.trim())}
    />
  );
}
