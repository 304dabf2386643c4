// Simplified Chinese: the service desk's queue. Under the same keys in desk-en.ts.

import type { desk as english } from './desk-en';

export const desk: Readonly<Record<keyof typeof english, string>> = {
  'queue.filter-priority': '按优先级筛选',
  'queue.any-priority': '全部优先级',
  'queue.filter-assignee': '按处理人筛选',
  'queue.anybody': '全部处理人',
  'queue.mine': '我的',
  'queue.nobody': '未指派',
  'queue.order': '排序',
  'queue.next': '下一页',
  'queue.previous': '上一页',
};
