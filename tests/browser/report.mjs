// What was asked of the desk afterwards: two faults of one ticket set apart, reports, the big screen, and every page at the
// width of a desk and of a telephone, in both languages.

import { readFileSync } from 'node:fs';
import { equal, see } from './session.mjs';

const PAGES = [
  ['tickets', '/tickets', 'h1'],
  ['reports', '/reports', '[data-report=all]'],
  ['duty', '/duty', 'h1'],
  ['notices', '/notices', 'h1'],
  ['my-notices', '/me/notices', 'h1'],
  ['tokens', '/tokens', 'h1'],
  ['customers', '/masters/customers', 'h1'],
  ['knowledge', '/knowledge', 'h1'],
  ['wall', '/wall', '[data-wall=p1]'],
];
const WIDTHS = [[1280, 800], [390, 844]];

const read = (page, path) =>
  page.evaluate(async (at) => (await fetch(`/api/v1${at}`, { headers: { accept: 'application/json' } })).json(), path);

/** Two tickets become one by mistake; the fault that is another matter gets a ticket of its own again. */
export async function split(session) {
  const { page } = session;
  const { number } = session.facts;
  const base = page.url().replace(/\/tickets.*$/, '');
  const { items } = await read(page, '/tickets?state=open&limit=50');
  const other = items.find((ticket) => ticket.number !== number && ticket.title.key !== 'ticket.manual');
  if (other === undefined) throw new Error('there is no second ticket of an alarm');
  await page.goto(`${base}/tickets/${other.number}`);
  await page.fill('[data-part=links] input[name=other]', number);
  await page.locator('[data-part=links] .ant-space-compact button').last().click();
  await see(page, 'that it is merged', '.ticket-head .state', '重复工单');
  await page.goto(`${base}/tickets/${number}`);
  await page.click('[data-action=split]');
  const boxes = page.locator('.ant-modal input[type=checkbox]');
  await boxes.first().waitFor();
  const before = await boxes.count();
  equal('two faults to choose from', before >= 2, true);
  const run = page.locator('.ant-modal .ant-btn-primary');
  equal('splitting without a choice is held back', await run.isDisabled(), true);
  await boxes.nth(1).focus();
  await page.keyboard.press('Space');
  await page.fill('textarea[name=split-reason]', '另一处故障');
  await session.shot('split-zh');
  await run.click();
  await page.waitForURL((url) => /\/tickets\/T-\d+$/.test(url.pathname) && !url.pathname.endsWith(number));
  await see(page, 'where it is from', 'li[data-what=split]', `由 ${number} 拆分而来`);
  await see(page, 'the reason', 'li[data-what=split]', '另一处故障');
  await session.shot('split-new-zh');
}

/** The desk records a fault that an agent has reported, too; the report sets the two paths beside each other. */
export async function reports(session) {
  const { page } = session;
  const { number } = session.facts;
  const { ticket } = await read(page, `/tickets/${number}`);
  await page.click('nav a >> text=工单队列');
  await page.click('[data-action=new-ticket]');
  await page.fill('.intake [name=text]', '同一故障，客户来电');
  await page.fill('.intake [name=error_code]', ticket.fault_code || ticket.type);
  const noticed = new Date(Date.now() - 2 * 3_600_000);
  const local = new Date(noticed.getTime() - noticed.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
  await page.fill('.intake [name=noticed_at]', local);
  await page.click('[data-action=record]');
  await see(page, 'the ticket', '[data-number]');
  await page.click('nav a >> text=报表');
  await see(page, 'how many tickets there were', '[data-report=all]', '报警自动建单');
  const row = await see(page, 'the fault that came both ways', '.reports tr.sum', '合计');
  const told = await row.innerText();
  if (!/2 小时 0 分|2 小时/.test(told)) throw new Error(`the manual path does not begin two hours ago: ${told}`);
  console.log(`both paths: ${told.replace(/\s+/g, ' ')}`);
  equal('charts with their numbers as text', await page.locator('svg.bars[role=img] title').count(), 3);
  await session.shot('reports-zh');
  await page.click('[data-filter=by]');
  await page.locator('.ant-select-item-option', { hasText: '按站点' }).click();
  await see(page, 'the site', '.reports td', 'SH-77');
  const [saved] = await Promise.all([page.waitForEvent('download'), page.click('[data-action=export-report]')]);
  equal('the name that it is saved by', saved.suggestedFilename(), 'callhome-report.csv');
  const lines = readFileSync(await saved.path(), 'utf8').trim().split('\r\n');
  equal('a line of the site', lines.some((line) => line.startsWith('group,SH-77,')), true);
}

/** The big screen follows by itself; every page fits a desk's screen and a telephone's, in both languages. */
export async function screens(session) {
  const { page } = session;
  const base = page.url().replace(/\/(tickets|reports).*$/, '');
  const wide = [];
  for (const language of ['en', 'zh-CN']) {
    await page.goto(`${base}/tickets`);
    await page.click(`[data-language=${language}]`);
    await page.waitForFunction((wanted) => document.documentElement.lang === wanted, language);
    for (const [name, path, mark] of PAGES) {
      await page.goto(`${base}${path}`);
      await see(page, `${path} in ${language}`, mark);
      equal(`language of ${path}`, await page.getAttribute('html', 'lang'), language);
      for (const [width, height] of WIDTHS) {
        await page.setViewportSize({ width, height });
        await session.shot(`${name}-${width}-${language}`);
        const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        if (over > 0) wide.push(`${path} at ${width} in ${language}: ${over} px too wide`);
      }
    }
  }
  await page.setViewportSize({ width: 1440, height: 900 });
  await page.goto(`${base}/tickets`);
  await see(page, 'the live mark', '[data-live=connected]');
  if (wide.length > 0) throw new Error(wide.join('\n'));
}
