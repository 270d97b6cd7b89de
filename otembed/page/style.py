"""Style sheet of the page: light or dark by the reader's preference, responsive to the window's width."""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fdfcfa; --ink: #1d2329; --soft: #5b6670; --line: #dedad2; --panel: #f5f2ec;
  --better: #0b6e69; --worse: #a8480b; --unclear: #5b6670; --heat: 11 110 105; --cold: 168 72 11;
  --m0: #8a94a0; --m1: #1f6fb5; --m2: #b0568f; --m3: #b58a1f; --m4: #4d8f3c; --m5: #6c5bb8;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15191d; --ink: #e6e3dc; --soft: #a0a9b2; --line: #333b43; --panel: #1d2328;
    --better: #56c2b6; --worse: #f0985a; --unclear: #a0a9b2; --heat: 86 194 182; --cold: 240 152 90;
    --m0: #8c97a3; --m1: #67aee8; --m2: #dc90c2; --m3: #d9b45a; --m4: #8cc97a; --m5: #a99bea;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
  font-variant-numeric: tabular-nums;
}
main { max-width: 72rem; margin: 0 auto; padding: 2.5rem 1.5rem 4rem; }
h1 { font-size: 1.7rem; font-weight: 600; line-height: 1.3; letter-spacing: -.01em; margin: 0 0 1rem; max-width: 52rem; text-wrap: balance; overflow-wrap: anywhere; }
h1 span { display: block; margin-bottom: .35rem; }
.answer { list-style: none; margin: 0; padding: 0; max-width: 58rem; }
.answer li { padding: .3rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; line-height: 1.3; margin: 3rem 0 .25rem; }
h3 { font-size: 1rem; margin: 1.75rem 0 .5rem; }
p { margin: .25rem 0 .75rem; max-width: 46rem; }
.soft, figcaption, caption { color: var(--soft); font-size: .875rem; }
caption { text-align: left; padding: 0 0 .5rem; }
.note { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: .5rem .9rem; }
.answer .note { padding: .5rem .9rem; margin-top: .5rem; }
.key { display: flex; flex-wrap: wrap; gap: .35rem 1.6rem; margin: 1.25rem 0 0; padding: 0; list-style: none; }
.key li { overflow-wrap: anywhere; }
.dot { display: inline-block; width: .75em; height: .75em; border-radius: 2px; margin-right: .45em; }
table { border-collapse: collapse; width: 100%; }
th { font-weight: 500; text-align: left; }
thead th { color: var(--soft); font-size: .8125rem; vertical-align: bottom; padding-bottom: .3rem; }
td, th { padding: .45rem .9rem .45rem 0; vertical-align: middle; }
tbody tr { border-top: 1px solid var(--line); }
.bars tr.mean { background: var(--panel); font-weight: 600; }
.bars tr.mean th { font-weight: 600; }
.bars th[scope=row] { white-space: nowrap; padding-left: .5rem; }
.bars .plot { width: 24%; min-width: 9rem; }
.bars .values > span, .bars .gain > span, .bars .verdict > span { display: block; white-space: nowrap; line-height: 1.35; }
.num { text-align: right; white-space: nowrap; }
thead .num { text-align: right; }
svg { display: block; width: 100%; overflow: visible; }
.scale { display: flex; justify-content: space-between; font-size: .75rem; color: var(--soft); }
.better { color: var(--better); } .worse { color: var(--worse); } .unclear { color: var(--unclear); }
.range { color: var(--soft); font-weight: 400; font-size: .875rem; }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); gap: 1.5rem 2.5rem; }
.panels.two { grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); }
figure { margin: 0; min-width: 0; }
.bars + figure, .bars + .panels { margin-top: 1.75rem; }
figure h4 { font-size: .9375rem; font-weight: 600; margin: 0 0 .4rem; }
.chart { display: grid; grid-template-columns: auto 1fr; column-gap: .5rem; font-size: .75rem; color: var(--soft); }
.chart .y { display: flex; flex-direction: column; justify-content: space-between; text-align: right; line-height: 1; }
.chart svg { height: 9rem; border-left: 1px solid var(--line); border-bottom: 1px solid var(--line); }
.chart .x { grid-column: 2; display: flex; justify-content: space-between; padding-top: .25rem; }
.ends { list-style: none; padding: 0; margin: .35rem 0 0; font-size: .875rem; }
.scroll { overflow-x: auto; max-width: 100%; }
.heat { width: auto; }
.heat td { padding: .3rem .6rem; text-align: center; border: 1px solid var(--paper); min-width: 3.4rem; }
.heat th { padding: .3rem .8rem .3rem 0; }
.heat thead th { text-align: center; padding: .3rem .3rem; }
.heat tbody tr { border: 0; }
.words { width: auto; font-size: .875rem; }
.words td { width: 1.7rem; min-width: 1.7rem; height: 1.7rem; padding: 0; border: 1px solid var(--paper); text-align: center; }
.words tbody tr { border: 0; }
.words tbody th { padding: 0 .5rem 0 0; text-align: right; white-space: nowrap; font-weight: 400; }
.words thead th { padding: 0; height: 5.5rem; vertical-align: bottom; font-weight: 400; color: var(--ink); font-size: .875rem; }
.words thead th span { writing-mode: vertical-rl; transform: rotate(180deg); white-space: nowrap; max-height: 7rem; }
.words td.link { outline: 2px solid var(--ink); outline-offset: -3px; }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
details { margin: .75rem 0; }
summary { cursor: pointer; color: var(--soft); font-size: .875rem; }
code, pre { font: .8125rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: .7rem .9rem; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
.plain td, .plain th { padding: .25rem 1.2rem .25rem 0; font-size: .875rem; }
.plain th[scope=row] { white-space: nowrap; }
.plain thead .num { white-space: normal; }
.bars caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
a:focus-visible, summary:focus-visible { outline: 2px solid var(--m1); outline-offset: 2px; }
@media (max-width: 46rem) {
  main { padding: 1.5rem 1rem 3rem; }
  h1 { font-size: 1.35rem; }
  .words, .words thead th { font-size: .75rem; }
  .words td { width: 1.3rem; min-width: 1.3rem; height: 1.5rem; }
  .bars, .bars tbody { display: block; }
  .bars caption { display: block; position: static; width: auto; height: auto; clip-path: none; }
  .bars thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  .bars tr { display: grid; grid-template-columns: minmax(0, 1fr) 10.5rem; column-gap: 1rem; padding: .6rem .5rem; }
  .bars svg { overflow: hidden; }
  .bars td, .bars th, .bars th[scope=row] { padding: .12rem 0; }
  .bars th { grid-column: 1; } .bars .n { display: none; }
  .bars .verdict { grid-column: 2; grid-row: 1; text-align: right; }
  .bars .plot { width: auto; min-width: 0; align-self: center; }
  .bars .values, .bars .gain { text-align: right; }
}
@media print { main { max-width: none; padding: 0; } details { display: none; } }
"""
