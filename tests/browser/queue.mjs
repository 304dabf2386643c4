// What the desk does with its queue: one thing for many tickets, a view that is kept.

import { equal, see } from './session.mjs';

/** Two tickets get a priority at once; what is filtered is kept as a view and chosen again. */
export async function many(session) {
  const { page } = session;
  await page.click('nav a >> text=工单');
  await see(page, 'tickets', 'tr[data-row-key]');
  const rows = page.locator('tr[data-row-key]');
  const wanted = Math.min(2, await rows.count());
  await rows.first().focus();
  await page.keyboard.press('Space');
  if (wanted > 1) await rows.nth(1).locator('input[type=checkbox]').check();
  await see(page, 'how many are picked', '.bulk', `已选 ${wanted} 张`);
  await page.click('.bulk [data-field=deed]');
  await page.locator('.ant-select-item-option', { hasText: '设置优先级' }).click();
  await page.click('.bulk [data-field=bulk-value]');
  await page.locator('.ant-select-item-option', { hasText: 'P1' }).last().click();
  await session.shot('queue-bulk-zh');
  await page.click('[data-action=bulk]');
  await see(page, 'that all are done', '.ant-message', `共 ${wanted} 张，已完成 ${wanted} 张`);
  await page.click('.filters [data-filter=priority]');
  await page.locator('.ant-select-item-option', { hasText: 'P1' }).last().click();
  await page.waitForURL('**/tickets?priority=p1');
  await page.click('[data-action=edit-view]');
  await page.fill('input[name=view-name]', '紧急工单');
  await page.click('[data-action=keep-view]');
  await see(page, 'the view', '[data-filter=view]', '紧急工单');
  await page.goto(`${page.url().split('/tickets')[0]}/tickets`);
  await see(page, 'tickets again', 'tr[data-row-key]');
  await page.click('[data-filter=view]');
  await page.locator('.ant-select-item-option', { hasText: '紧急工单' }).click();
  await page.waitForURL('**/tickets?priority=p1');
  await see(page, 'what the view asks for', 'tr[data-row-key]');
  equal('tickets of the view', (await page.locator('tr[data-row-key]').count()) >= wanted, true);
  await session.shot('queue-view-zh');
}
