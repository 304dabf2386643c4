// What a support engineer does, step by step. Every step leaves the page where the next begins.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { equal, see } from './session.mjs';

/** Chinese by the browser, English at a click, a wrong password in words, the one-time password changed. */
export async function logIn(session, { url, user, password, newPassword }) {
  const { page } = session;
  const asked = /401 .*\/api\/v1\/(me|login)/;
  await session.tolerating(asked, async () => {
    const response = await page.goto(`${url}/`);
    policy(response.headers()['content-security-policy'] ?? '', url);
    await see(page, 'the log-in page in Chinese', 'button[type=submit]', '登录');
    await session.shot('login-zh');
    await page.click('[data-language=en]');
    await see(page, 'the log-in page in English', 'button[type=submit]', 'Log in');
    equal('language of the page', await page.getAttribute('html', 'lang'), 'en');
    await session.shot('login-en');
    await page.click('button[type=submit]');
    await see(page, 'what is missing', '.wrong', 'Enter your user name.');
    await page.fill('input[name=name]', user);
    await page.fill('input[name=password]', 'surely not the password');
    await page.click('button[type=submit]');
    await see(page, 'the refusal of a wrong password', '[role=alert]', 'User name or password is wrong.');
    await page.click('[data-language=zh-CN]');
  });
  await page.fill('input[name=password]', password);
  await page.click('button[type=submit]');
  const next = await see(page, 'the next page', 'input[name=old], [data-live]');
  if ((await next.getAttribute('name')) === 'old') await changePassword(session, password, newPassword);
  await see(page, 'the live mark', '[data-live=connected]', '实时');
}

/** Scripts of the console's own only. A development server sets no policy. */
function policy(header, url) {
  if (url.startsWith('http:')) return;
  const scripts = /script-src ([^;]*)/.exec(header)?.[1] ?? /default-src ([^;]*)/.exec(header)?.[1];
  equal('sources of scripts in the content security policy', scripts?.trim(), "'self'");
}

async function changePassword(session, password, newPassword) {
  const { page } = session;
  await see(page, 'why the password must change', '.card', '当前密码只能使用一次');
  await session.shot('password-zh');
  await page.fill('input[name=old]', password);
  await page.fill('input[name=new]', 'short');
  await page.fill('input[name=again]', 'short');
  await page.click('button[type=submit]');
  await see(page, 'the refusal of a short password', '[role=alert]', '新密码至少需要');
  await page.fill('input[name=new]', newPassword);
  await page.fill('input[name=again]', newPassword);
  await page.click('button[type=submit]');
  await see(page, 'the queue after the change', 'h1', '工单队列');
}

const rowOf = ({ device, resource }) =>
  `tr[data-device=${JSON.stringify(device)}]${resource ? `[data-resource=${JSON.stringify(resource)}]` : ''}`;

/** The queue shows what there is; a fault that happens now appears by itself, marked as new. */
export async function queue(session, wanted) {
  const { page } = session;
  await see(page, 'tickets, or that there are none', 'tr[data-row-key], .empty');
  await session.shot('queue-zh');
  if (wanted.device !== undefined) await faultAppears(session, wanted);
  const number = await page.locator('[data-ticket]').first().getAttribute('data-ticket');
  session.facts.number ??= number;
  await search(session, session.facts.number);
}

async function faultAppears(session, wanted) {
  const { page } = session;
  const before = await page.locator('[data-ticket]').evaluateAll((all) => all.map((e) => e.dataset.ticket));
  const started = Date.now();
  console.log('READY-FOR-FAULT');
  const row = page.locator(`${rowOf(wanted)}.fresh`);
  try {
    await row.first().waitFor({ timeout: wanted.faultTimeoutMs });
  } catch {
    const rows = await page.locator('tr[data-row-key]').allInnerTexts();
    throw new Error(`no new ticket for ${wanted.device} ${wanted.resource} within ${wanted.faultTimeoutMs} ms; the queue has: ${rows.slice(0, 5).join(' | ')}`);
  }
  const number = await row.first().locator('[data-ticket]').getAttribute('data-ticket');
  if (before.includes(number)) throw new Error(`${number} was there before the fault`);
  console.log(`live ticket ${number} after ${Date.now() - started} ms`);
  session.facts.number = number;
  await session.shot('queue-new-zh');
}

/** Search, an empty answer in words, and back. */
async function search(session, number) {
  const { page } = session;
  const field = page.locator('.filters .ant-input-search input');
  await field.first().fill('no such ticket anywhere');
  await see(page, 'that nothing matches', '.empty', '没有符合筛选条件的工单');
  await field.first().fill(number);
  await see(page, 'the ticket that was searched', `[data-ticket=${JSON.stringify(number)}]`);
  equal('tickets found by number', await page.locator('[data-ticket]').count(), 1);
  // The keyboard alone opens it.
  await page.locator('tr[data-row-key]').first().focus();
  await page.keyboard.press('Enter');
  await page.waitForURL(`**/tickets/${number}`);
}

/** Evidence, alarms and timeline are there; it is taken over and commented on. */
export async function ticket(session, { evidence, user }) {
  const { page } = session;
  const { number } = session.facts;
  await see(page, 'the ticket', '[data-number]', number);
  await see(page, 'how it was opened', 'li[data-what=opened]', '根据报警自动建单');
  const shown = await see(page, 'the evidence', '[data-evidence] pre');
  const text = await shown.innerText();
  if (text.trim() === '') throw new Error('the evidence is empty');
  if (evidence !== undefined && !text.includes(evidence)) {
    throw new Error(`the evidence does not hold ${JSON.stringify(evidence)}: ${text.slice(0, 300)}`);
  }
  await see(page, 'the alarm', '.panel tr[data-row-key] .severity');
  await session.shot('ticket-new-zh');
  await takeOver(session, user);
  await comment(session);
}

/** A bundle that arrives while the page is open is on it by itself: what it is, what is in it, and its bytes. */
export async function bundle(session, { bundle: name }) {
  if (name === undefined) return;
  const { page } = session;
  console.log(`READY-FOR-BUNDLE ${session.facts.number}`);
  const shown = await see(page, 'the bundle', '[data-bundle][data-state=complete]', name);
  await see(page, 'who approved it', '[data-bundle] .hint', '客户方批准人：王工');
  await see(page, 'its entry in the timeline', 'li[data-what=bundle]', `证据包已到达：${name}`);
  await shown.locator('[data-contents]').click();
  await see(page, 'what redaction did', '[data-bundle] .contents li', '替换 17 处');
  await see(page, 'the binary file', '[data-bundle] .contents li', '二进制，未改动');
  await shown.scrollIntoViewIfNeeded();
  await session.shot('ticket-bundle-zh');
  const [saved] = await Promise.all([page.waitForEvent('download'), shown.locator('a[download]').click()]);
  equal('the name that it is saved by', saved.suggestedFilename(), name);
  const sum = createHash('sha256').update(readFileSync(await saved.path())).digest('hex');
  equal('its SHA-256', sum, await shown.locator('.sum code').innerText());
}

async function takeOver(session, user) {
  const { page } = session;
  await page.click('[data-transition=in_diagnosis]');
  await page.fill('textarea[name=transition-comment]', '我来处理 (taking this)');
  await session.shot('take-over-zh');
  await page.click('.ant-modal .ant-btn-primary');
  await see(page, 'the new state', '.ticket-head .state', '诊断中');
  const entry = await see(page, 'the step in the timeline', 'li[data-what=state]', '状态由已登记变为诊断中');
  await see(page, 'its comment', 'li[data-what=state] p', '我来处理 (taking this)');
  await entry.waitFor();
  await see(page, 'who has taken it', '.facts > div', new RegExp(`处理人\\s*${user}`));
  // Resolving needs what was found: not without a comment.
  await page.click('[data-transition=resolved]');
  const confirm = page.locator('.ant-modal .ant-btn-primary');
  await confirm.waitFor();
  equal('resolving without a comment is held back', await confirm.isDisabled(), true);
  await page.keyboard.press('Escape');
  await page.locator('.ant-modal').waitFor({ state: 'hidden' });
}

async function comment(session) {
  const { page } = session;
  // Markup in a comment must stay text.
  const text = '风扇已更换 <img src=x onerror=alert(1)> & replaced';
  await page.fill('textarea[name=comment]', text);
  await page.click('[data-action=comment]');
  const shown = await see(page, 'the comment', 'li[data-what=comment] p');
  equal('the comment as it was written', await shown.innerText(), text);
  await session.shot('ticket-commented-zh');
}

/** The whole console in English, kept with the user across a reload; then back. */
export async function language(session) {
  const { page } = session;
  await page.click('[data-language=en]');
  await see(page, 'the navigation in English', 'nav a', 'Tickets');
  await see(page, 'the state in English', '.ticket-head .state', 'In diagnosis');
  await see(page, 'the timeline in English', 'li[data-what=opened]', 'Ticket opened by itself from an alarm');
  await see(page, 'the step in English', 'li[data-what=state]', 'State changed from Recorded to In diagnosis');
  await session.shot('ticket-en');
  // Kept at the collector, not only in this browser.
  await page.evaluate(() => localStorage.clear());
  await page.reload();
  await see(page, 'English after a reload', '.ticket-head .state', 'In diagnosis');
  equal('language of the page', await page.getAttribute('html', 'lang'), 'en');
  await page.click('nav a >> text=Tickets');
  await see(page, 'the queue in English', 'h1', 'Tickets');
  await see(page, 'a ticket', '[data-ticket]');
  await session.shot('queue-en');
}

/** Agents with their sources, devices, one agent. */
export async function fleet(session, { agent, device }) {
  const { page } = session;
  await page.click('nav a >> text=Fleet');
  const first = await see(page, 'an agent', '[data-agent]', agent);
  const id = await first.getAttribute('data-agent');
  if (agent !== undefined) {
    await see(page, 'that the agent is online', `tr[data-row-key=${JSON.stringify(agent)}] [data-agent-state=online]`);
  }
  const expand = page.locator(`tr[data-row-key=${JSON.stringify(id)}] .expand`);
  if ((await expand.count()) > 0) {
    await expand.click();
    await see(page, 'the sources of the agent', '.inner tr[data-row-key]');
  }
  await session.shot('fleet-en');
  await page.click('.tabs a >> text=Devices');
  await see(page, 'the device', '[data-device]', device);
  await session.shot('devices-en');
  if (device !== undefined) await oneDevice(session, device);
  await page.click('.tabs a >> text=Agents');
  await page.click(`[data-agent=${JSON.stringify(id)}]`);
  await see(page, 'the agent’s own page', 'h1', id);
  await see(page, 'its streams', '.panel h2', 'Received streams');
  await session.shot('agent-en');
  await page.click('[data-language=zh-CN]');
  await see(page, 'the agent in Chinese', '.panel h2', '接收情况');
  await session.shot('agent-zh');
}

/** How a device is read, what it is made of and what changed of that; in both languages. */
async function oneDevice(session, device) {
  const { page } = session;
  await page.locator('[data-device]', { hasText: device }).first().click();
  await see(page, 'the device’s own page', 'h1', device);
  await see(page, 'a module', '[data-module="Disk 1"]', 'Disk 1');
  await see(page, 'its serial number', '.modules tr[data-row-key] code', 'DSK-0001');
  await see(page, 'its class', '.modules tr[data-row-key] td', 'Module');
  await see(page, 'how long the last reading took', '.facts > div', /It took\s*\d+ ms/);
  await see(page, 'when it was read', '.facts > div', /Last reading\s*\S+/);
  await see(page, 'what is read', '.facts > div', /Values read\s*\d+/);
  await see(page, 'by which profiles', '.facts > div', /Profiles\s*\S+/);
  await see(page, 'why these', '.facts > div', /Why these\s*\S+/);
  await see(page, 'that nothing has changed', '.empty', 'No change so far.');
  await session.shot('device-en');
  await page.click('[data-language=zh-CN]');
  await see(page, 'the modules in Chinese', '.modules tr[data-row-key] td', '模块');
  await see(page, 'how long it took, in Chinese', '.facts > div', /用时\s*\d+ 毫秒/);
  await session.shot('device-zh');
  await page.click('[data-language=en]');
  await see(page, 'the device in English again', '.modules tr[data-row-key] td', 'Module');
  await page.click('.crumb a');
  await see(page, 'the devices again', '[data-device]', device);
}

/** The record of what touches trust: in both languages, filtered, opened, verified, taken along. */
export async function audit(session) {
  const { page } = session;
  await page.click('nav a >> text=信任审计');
  await see(page, 'that the chain is whole', '[data-chain=whole]', '哈希链完整：已校验至第');
  await see(page, 'the last start', '.audit [data-what=configuration-loaded]', '配置已加载');
  await session.shot('audit-zh');
  await page.click('[data-language=en]');
  await see(page, 'the record in English', 'h1', 'Trust record');
  await page.click('[data-action=verify]');
  await see(page, 'that the chain is whole in English', '[data-chain=whole]', 'The chain is whole: verified up to record');
  await page.goto(page.url().replace(/\/audit.*$/, '/audit?what=token-made'));
  const made = await see(page, 'a token that was made', '.audit [data-what=token-made]', 'Token made');
  equal('entries of other kinds', await page.locator('.audit [data-what]:not([data-what=token-made])').count(), 0);
  await made.click();
  const whole = await see(page, 'the entry in full', '[data-entry]');
  const hash = await whole.locator('.sum code').last().innerText();
  equal('its hash', /^[0-9a-f]{64}$/.test(hash), true);
  await session.shot('audit-entry-en');
  const [saved] = await Promise.all([page.waitForEvent('download'), page.click('[data-action=export]')]);
  equal('the name that it is saved by', saved.suggestedFilename(), 'callhome-audit.jsonl');
  const lines = readFileSync(await saved.path(), 'utf8').trimEnd().split('\n').map((line) => JSON.parse(line));
  equal('kinds in the file', [...new Set(lines.map((line) => line.what))].join(), 'token-made');
  equal('the hash in the file', lines.some((line) => line.hash === hash), true);
  await page.click('[data-language=zh-CN]');
}

/** A cut line is shown, and mends by itself. */
export async function reconnect(session) {
  const { page, context } = session;
  await page.click('nav a >> text=工单队列');
  await see(page, 'the queue', '[data-ticket]');
  await session.tolerating(/ERR_INTERNET_DISCONNECTED|ERR_NETWORK|ERR_FAILED/, async () => {
    await context.setOffline(true);
    await see(page, 'that the line is cut', '[data-live=reconnecting]');
    await session.shot('reconnecting-zh');
    await context.setOffline(false);
    await see(page, 'that the line is back', '[data-live=connected]');
  });
}

/** Logging out ends it: the address of a page shows the log-in. */
export async function leave(session, { url }) {
  const { page } = session;
  const { number } = session.facts;
  await session.tolerating(/401 .*\/api\/v1\//, async () => {
    await page.click('[data-user]');
    await session.shot('menu-zh');
    await page.click('.ant-dropdown-menu-item >> text=退出登录');
    await see(page, 'the log-in page', 'input[name=password]');
    await page.goto(`${url}/tickets/${number}`);
    await see(page, 'the log-in page again', 'input[name=password]');
  });
}
