// Reads a text/event-stream (WHATWG HTML, "Server-sent events"). Pure.

/** One event; `comment` is true for a comment line, which only says that the line is alive. */
export interface StreamEvent {
  event: string;
  data: string;
}

/** Feeds on chunks of text as they come, in any cut, and gives back what became complete. */
export class StreamParser {
  private rest = '';
  private event = '';
  private data: string[] = [];

  constructor(private readonly maxBuffered = 65_536) {}

  push(chunk: string): StreamEvent[] {
    this.rest += chunk;
    const found: StreamEvent[] = [];
    for (;;) {
      const end = this.rest.search(/\r\n|\n|\r/);
      // A lone CR at the very end may be half of a CRLF: wait for what follows.
      if (end < 0 || (this.rest[end] === '\r' && end + 1 === this.rest.length)) break;
      const line = this.rest.slice(0, end);
      this.rest = this.rest.slice(end + (this.rest.startsWith('\r\n', end) ? 2 : 1));
      const event = this.line(line);
      if (event) found.push(event);
    }
    if (this.rest.length > this.maxBuffered) throw new Error('a line of the stream is too long');
    return found;
  }

  private line(line: string): StreamEvent | null {
    if (line === '') {
      const data = this.data.join('\n');
      const event = { event: this.event || 'message', data };
      const any = this.data.length > 0;
      this.event = '';
      this.data = [];
      return any ? event : null;
    }
    const colon = line.indexOf(':');
    if (colon === 0) return null;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'event') this.event = value;
    else if (field === 'data') this.data.push(value);
    return null;
  }
}
