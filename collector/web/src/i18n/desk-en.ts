// English: the service desk's queue. Under the same keys in desk-zh.ts.

export const desk = {
  'queue.filter-priority': 'Filter by priority',
  'queue.any-priority': 'Any priority',
  'queue.filter-assignee': 'Filter by who works on it',
  'queue.anybody': 'Anybody',
  'queue.mine': 'Mine',
  'queue.nobody': 'Nobody',
  'queue.order': 'Order',
  'queue.next': 'Next',
  'queue.previous': 'Previous',
} as const;
