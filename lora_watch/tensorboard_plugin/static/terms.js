// What the words and symbols of the tab mean: the text of their tooltips.

const MEANINGS = {
  output_ratio: '‖ΔW·x‖ / ‖W₀·x‖ on the step’s own tokens: how much an adapter adds to what its layer gives',
  'depth-scaled output ratio': 'the 90th percentile of output_ratio over adapters × the number of transformer blocks',
  delta_norm: '‖ΔW‖: Frobenius norm of the adapter update ΔW = s·B·A',
  product_norm: '‖B·A‖: Frobenius norm without the scale',
  predicted_norm: 's·Σlr·√(d_out·r/3): what Adam reaches from the default start if every step agrees',
  drift_norm: '‖ΔW − ΔW at the start‖: what was learned where the adapter did not begin at zero',
  spectral_norm: 'σ₁(ΔW): the largest singular value of the adapter update',
  relative_norm: '‖ΔW‖ / ‖W₀‖, Frobenius norms: the adapter update relative to the base weight',
  relative_spectral_norm: 'σ₁(ΔW) / σ₁(W₀): the adapter update relative to the base weight, largest singular values',
  effective_rank: 'exp of the entropy of σ/Σσ: how many of the r directions are in use; 0 while ΔW = 0',
  stable_rank: '‖ΔW‖² / σ₁²: a lower, steadier count of the directions in use',
  a_norm: '‖A‖: Frobenius norm of the factor A',
  b_norm: '‖B‖: Frobenius norm of the factor B',
  a_grad_norm: '‖∂A‖ as it reaches the optimizer, after clipping',
  b_grad_norm: '‖∂B‖ as it reaches the optimizer, after clipping',
  grad_norm: 'norm of the adapter’s gradient as it reaches the optimizer, after clipping',
  step_norm: '‖ΔW now − ΔW one step before‖: how far one optimizer step goes',
  magnitude_norm: '‖m‖: norm of DoRA’s magnitudes',
  magnitude_drift: 'how far the DoRA magnitude that moved most has gone since the start',
  a_changed: 'share of 64 numbers of A that the last update changed; below 1 where rounding loses updates',
  b_changed: 'share of 64 numbers of B that the last update changed; below 1 where rounding loses updates',
  base_drift: '‖W − W₀‖ / ‖W₀‖ of the base weight: 0, since it is frozen',
  scale: 's: the live factor of B·A; α/r, with rsLoRA α/√r',
  effective_lr: 's · lr: scale × learning rate of the parameter group that holds B',
  lr: 'learning rate of the first parameter group',
  loss: 'mean training loss of the whole optimizer step, NaN kept',
  expected: 'where the loss was expected, from the steps before',
  gain: 'share of its start that the loss has lost: (start − mean of the last five) / start',
  overhead: 'share of the wall time since training began that the monitor took, as in report.json',
  adapters: 'LoRA modules that are monitored',
  step: 'optimizer steps done',
  r: 'rank: the inner size of B·A',
  alpha: 'lora_alpha, of which the scale is made',
  base_norm: '‖W₀‖: Frobenius norm of the frozen base weight',
  base_spectral_norm: 'σ₁(W₀): largest singular value of the frozen base weight',
  group: 'index of the optimizer’s parameter group',
  spectrum: 'all singular values σ of ΔW, largest first',
  max: 'the largest of any adapter',
  p90: '90th percentile over adapters',
  median: 'median over adapters',
};

/** The meaning of a metric or a word; undefined where there is none. */
export const meaning = (/** @type {string} */ name) =>
  Object.hasOwn(MEANINGS, name) ? MEANINGS[/** @type {keyof typeof MEANINGS} */ (name)] : undefined;

/** The unit of a metric, for an axis. @type {[RegExp, string][]} */
const UNITS = [
  [/^output_ratio$/, 'ratio of norms'],
  [/^relative_/, 'relative to W₀'],
  [/spectral_norm$/, 'σ₁'],
  [/_norm$/, 'Frobenius norm'],
  [/_rank$/, 'directions'],
  [/_changed$|^gain$/, 'share'],
  [/_drift$/, 'relative change'],
  [/^(effective_)?lr$/, 'per step'],
  [/^loss/, 'loss'],
  [/^scale$/, 's'],
];

export const unitOf = (/** @type {string} */ metric) => UNITS.find(([pattern]) => pattern.test(metric))?.[1];
