// The keys of the tab: arrows go from step to step and from adapter to adapter.

/**
 * What a key does, wherever the focus is.
 * @param {import('./app.js').App} app
 */
export function press(app, event) {
  if (event.ctrlKey || event.metaKey || event.altKey || !app.shown) return;
  if (event.target.matches?.('select')) return;
  if (event.target.id === 'scrub' && event.key.startsWith('Arrow')) return;
  const jump = event.shiftKey ? Math.max(1, Math.round(app.lastStep / 20)) : 1;
  const showsOne = ['layer', 'heatmap'].includes(app.state.view);
  const act = {
    ArrowLeft: () => app.setStep(app.step - jump),
    ArrowRight: () => app.setStep(app.step + jump),
    ArrowUp: showsOne && (() => app.moveAdapter(-1)),
    ArrowDown: showsOne && (() => app.moveAdapter(1)),
    End: () => app.set({step: ''}),
    Escape: () => app.set({from: '', to: ''}),
  }[event.key];
  if (!act) return;
  event.preventDefault();
  act();
}
