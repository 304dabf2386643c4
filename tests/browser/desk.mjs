// What the service desk does: customers and sites, what they are promised, a ticket by telephone.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { equal, see } from './session.mjs';

const SITES = 'id,name,customer,time_zone\nSH-77,上海机房,huadong,Asia/Shanghai\n';
const HOLIDAYS = [
  'BEGIN:VCALENDAR', 'VERSION:2.0', 'PRODID:-//test//EN',
  'BEGIN:VEVENT', 'UID:1', 'DTSTART;VALUE=DATE:20261001', 'DTEND;VALUE=DATE:20261008', 'SUMMARY:国庆节', 'END:VEVENT',
  'BEGIN:VEVENT', 'UID:2', 'DTSTART;VALUE=DATE:20261010', 'SUMMARY:国庆节（补班）', 'END:VEVENT',
  'END:VCALENDAR', '',
].join('\r\n');

/** How fast a practised clerk types, milliseconds a character. */
const TYPING_MS = 60;

/** A customer in a dialogue, its site from a file: tried first, then taken. */
export async function masters(session) {
  const { page } = session;
  await page.click('nav a >> text=客户与合同');
  await see(page, 'the kinds of records', '.ant-tabs-tab', '服务计划');
  await page.click('[data-action=add]');
  await page.fill('.ant-modal input[name=id]', 'huadong');
  await page.fill('.ant-modal input[name=name]', '华东数据中心');
  await page.click('[data-action=save-master]');
  await see(page, 'the customer', '[data-master=huadong]');
  await page.click('.ant-tabs-tab >> text=站点');
  await page.click('[data-action=import]');
  const folder = mkdtempSync(join(tmpdir(), 'callhome-desk-'));
  const file = join(folder, 'sites.csv');
  writeFileSync(file, SITES.replace('huadong', 'huadng'));
  await session.tolerating(/400 .*\/api\/v1\/imports\//, async () => {
    await page.setInputFiles('.ant-modal input[type=file]', file);
    await see(page, 'the fault with its place and the nearest name', '.ant-modal', 'did you mean "huadong"');
  });
  await session.shot('import-fault-zh');
  writeFileSync(file, SITES);
  await page.setInputFiles('.ant-modal input[type=file]', file);
  await page.locator('[data-action=take-file]:not([disabled])').click();
  await see(page, 'the site', '[data-master=SH-77]');
  await session.shot('sites-zh');
  rmSync(folder, { recursive: true, force: true });
}

/** What is promised, and when it counts: plans as they come, a calendar of one's own from a file. */
export async function promises(session) {
  const { page } = session;
  await page.click('.ant-tabs-tab >> text=服务计划');
  const carrier = page.locator('.shelf .panel', { has: page.locator('[data-plan=carrier]') });
  await carrier.waitFor();
  equal('the first limit of the plan', (await carrier.locator('tbody tr').first().innerText()).split('\t')[0].trim(), '响应');
  await session.shot('plans-zh');
  await page.click('[data-plan=carrier]');
  const body = page.locator('textarea[name=shelf-body]');
  await body.waitFor();
  await body.fill('{ "title": }');
  await page.click('[data-action=save-shelf]');
  await see(page, 'where it is no JSON', '.ant-modal .ant-alert', '第 1 行');
  await page.keyboard.press('Escape');
  await page.locator('.ant-modal').waitFor({ state: 'hidden' });
  await page.click('.ant-tabs-tab >> text=日历');
  await page.click('[data-action=add]');
  await page.fill('input[name=shelf-name]', 'china');
  await page.click('[data-action=save-shelf]');
  await see(page, 'the calendar', '[data-calendar=china]');
  const folder = mkdtempSync(join(tmpdir(), 'callhome-desk-'));
  const file = join(folder, 'china.ics');
  writeFileSync(file, HOLIDAYS);
  await page.setInputFiles('.shelf input[type=file]', file);
  rmSync(folder, { recursive: true, force: true });
  await see(page, 'the holiday', '.shelf td', '国庆节');
  await see(page, 'the make-up day', '.shelf tr', /2026-10-10.*补班/s);
  await session.shot('calendar-zh');
}

/** A ticket while the customer is on the telephone, typed as a clerk types: its number is there within a minute. */
export async function byTelephone(session) {
  const { page } = session;
  await page.click('nav a >> text=工单队列');
  const started = Date.now();
  await page.click('[data-action=new-ticket]');
  const type = async (name, text) => {
    await page.locator(`.intake [name=${name}]`).click();
    await page.keyboard.type(text, { delay: TYPING_MS });
  };
  await type('text', '阵列 A 的 3 号盘报警灯亮，主机暂无影响，客户要求今天更换');
  await type('serial', '2102353GTX10');
  await type('site', 'SH-77');
  await type('error_code', 'E3-77');
  await type('contact', '陈工');
  await type('reach', '138 0000 0000');
  await session.shot('new-ticket-zh');
  await page.click('[data-action=record]');
  const shown = await see(page, 'the ticket', '[data-number]');
  const seconds = (Date.now() - started) / 1000;
  console.log(`manual ticket ${await shown.innerText()} after ${seconds.toFixed(1)} s of typing and one click`);
  if (seconds >= 60) throw new Error(`it took ${seconds} s`);
  await see(page, 'who called', '.facts', '陈工');
  await see(page, 'whose it is', '.facts', 'huadong');
  await session.shot('new-ticket-recorded-zh');
  // A manager promises something else, and lets a clock rest.
  await page.click('[data-action=promise-plan]');
  await page.click('.ant-modal [data-field=plan]');
  await page.keyboard.type('third-party-normal');
  await page.keyboard.press('Enter');
  await page.fill('textarea[name=plan-reason]', '客户已升级合同');
  await page.click('.ant-modal .ant-btn-primary');
  await see(page, 'the entry', 'li[data-what=plan]', 'third-party-normal');
  await see(page, 'its clock', '[data-clock=restore]', '恢复');
  await page.locator('[data-clock=restore] [data-action=pause]').click();
  await page.fill('input[name=pause-reason]', '机房周一才能进入');
  await page.click('.ant-modal .ant-btn-primary');
  await see(page, 'that it rests', '[data-clock=restore][data-state=paused]', '机房周一才能进入');
  await session.shot('clock-rests-zh');
  await page.locator('[data-clock=restore] [data-action=resume]').click();
  await see(page, 'that it counts again', '[data-clock=restore][data-state=running]');
}

/** An article is written on the ticket's page, and found by a Chinese word in the middle of its title. */
export async function knowledge(session) {
  const { page } = session;
  await page.locator('.panel', { hasText: '知识库文章' }).locator('.ant-btn', { hasText: '新建文章' }).click();
  await page.fill('input[name=article-title]', '阵列硬盘报警灯亮的处理');
  await page.fill('textarea[name=article-cause]', '介质错误超限');
  await page.fill('textarea[name=article-fix]', '更换硬盘，确认重建完成');
  await page.click('[data-action=save-article]');
  await see(page, 'the article on the ticket', '[data-article]', '更换硬盘，确认重建完成');
  await page.locator('[data-article=e3-77]').scrollIntoViewIfNeeded();
  await session.shot('ticket-article-zh');
  await page.click('nav a >> text=知识库');
  const field = page.locator('.filters input[type=search], .filters .ant-input').first();
  await field.fill('电源');
  await field.press('Enter');
  await see(page, 'that there is none', '.empty', '没有找到文章');
  await field.fill('报警 硬盘');
  await field.press('Enter');
  await see(page, 'the article that was searched', 'tr[data-row-key]', '阵列硬盘报警灯亮的处理');
  await session.shot('knowledge-zh');
}
