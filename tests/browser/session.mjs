// One browser with one page, and a record of everything it complains about.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const ARGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];

/** Longest wait for anything that should be there at once. */
const PATIENCE_MS = 15_000;

export class Session {
  passed = 0;
  failed = 0;
  facts = {};
  #complaints = [];
  #tolerated = [];
  #shot = 0;

  static async open(executablePath, shots) {
    const session = new Session();
    session.shots = shots;
    session.folder = mkdtempSync(join(tmpdir(), 'callhome-browser-'));
    session.context = await chromium.launchPersistentContext(session.folder, {
      executablePath,
      args: ARGS,
      headless: true,
      viewport: { width: 1440, height: 900 },
      locale: 'zh-CN',
      // The collector's certificate is signed by its own authority.
      ignoreHTTPSErrors: true,
    });
    session.context.setDefaultTimeout(PATIENCE_MS);
    await session.context.addInitScript(() => {
      document.addEventListener('securitypolicyviolation', (event) => {
        console.error(`CSP refused ${event.violatedDirective}: ${event.blockedURI || event.sourceFile}`);
      });
    });
    session.page = session.context.pages()[0] ?? (await session.context.newPage());
    session.#watch();
    return session;
  }

  #watch() {
    const { page } = this;
    page.on('console', (message) => {
      if (message.type() !== 'error' && message.type() !== 'warning') return;
      this.#complain(`console ${message.type()}: ${message.text()} (${message.location().url})`);
    });
    // Errors that nobody caught, rejected promises among them.
    page.on('pageerror', (error) => this.#complain(`uncaught: ${error.stack ?? error.message}`));
    page.on('crash', () => this.#complain('the page crashed'));
    page.on('response', (response) => {
      if (response.status() >= 500) this.#complain(`${response.status()} from ${response.url()}`);
    });
  }

  #complain(text) {
    if (!this.#tolerated.some((pattern) => pattern.test(text))) this.#complaints.push(text);
  }

  /** Runs `action` while complaints that match are expected: a refusal that was provoked. */
  async tolerating(pattern, action) {
    this.#tolerated.push(pattern);
    try {
      return await action();
    } finally {
      // The browser reports a moment after it has answered.
      await this.page.waitForTimeout(200);
      this.#tolerated.splice(this.#tolerated.indexOf(pattern), 1);
    }
  }

  async step(name, action) {
    const start = Date.now();
    try {
      await action();
      if (this.#complaints.length > 0) throw new Error(`the browser complained:\n  ${this.#complaints.join('\n  ')}`);
      this.passed += 1;
      console.log(`ok ${name} (${Date.now() - start} ms)`);
    } catch (error) {
      this.failed += 1;
      console.log(`FAILED ${name}: ${error.message}`);
      for (const complaint of this.#complaints) console.log(`  complaint: ${complaint}`);
      console.log(`  at ${this.page.url()}`);
      await this.shot(`failed-${name}`).catch(() => undefined);
      throw error;
    }
  }

  async shot(name) {
    this.#shot += 1;
    const file = `${String(this.#shot).padStart(2, '0')}-${name}.png`;
    await this.page.screenshot({ path: join(this.shots, file), animations: 'disabled' });
  }

  async close() {
    await this.context.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Waits until `selector` (with a text, if given) is seen; says in words what was not. */
export async function see(page, what, selector, text) {
  const locator = text === undefined ? page.locator(selector) : page.locator(selector, { hasText: text });
  try {
    await locator.first().waitFor({ state: 'visible' });
  } catch {
    const found = await page.locator(selector).allInnerTexts();
    const instead = found.length > 0 ? `; there is: ${found.join(' | ').slice(0, 300)}` : '';
    throw new Error(`${what} does not show: ${selector}${text === undefined ? '' : ` with ${JSON.stringify(String(text))}`}${instead}`);
  }
  return locator.first();
}

export function equal(what, found, expected) {
  if (found !== expected) {
    throw new Error(`${what}: expected ${JSON.stringify(expected)}, found ${JSON.stringify(found)}`);
  }
}
