import { useId } from 'react';

export interface Part {
  /** Class of its colour. */
  kind: 'first' | 'second';
  value: number;
}

export interface Bar {
  label: string;
  /** What stands at its end. */
  text: string;
  parts: readonly Part[];
}

const ROW = 26;
const LABEL = 130;
const ROOM = 250;
const WIDTH = 640;

/** Bars from left to right. The picture tells its numbers as text, too; the page has them as a table. */
export function Bars({ title, bars, most }: { title: string; bars: readonly Bar[]; most: number }) {
  const id = useId();
  const scale = most > 0 ? ROOM / most : 0;
  return (
    <svg
      className="bars"
      role="img"
      aria-labelledby={id}
      viewBox={`0 0 ${WIDTH} ${Math.max(1, bars.length) * ROW + 4}`}
      preserveAspectRatio="xMinYMin meet"
    >
      <title id={id}>{`${title}: ${bars.map((bar) => `${bar.label} ${bar.text}`).join('; ')}`}</title>
      {bars.map((bar, row) => (
        <g key={`${row} ${bar.label}`} transform={`translate(0 ${row * ROW})`} aria-hidden="true">
          <text x={LABEL - 8} y={17} textAnchor="end">
            {bar.label.length > 16 ? `${bar.label.slice(0, 15)}…` : bar.label}
          </text>
          <rect className="rail" x={LABEL} y={5} width={ROOM} height={16} />
          {bar.parts.map((part, n) => (
            <rect
              key={part.kind}
              className={part.kind}
              x={LABEL + bar.parts.slice(0, n).reduce((sum, one) => sum + one.value, 0) * scale}
              y={5}
              width={Math.max(0, part.value * scale)}
              height={16}
            />
          ))}
          <text x={LABEL + ROOM + 8} y={17}>
            {bar.text}
          </text>
        </g>
      ))}
    </svg>
  );
}
