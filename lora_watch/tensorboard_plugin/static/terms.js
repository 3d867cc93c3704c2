// What the words and symbols of the tab mean: the text of their tooltips.

const MEANINGS = {
  zone: 'the rules’ word for the run at a step, from a loss below its start to exploding: it follows from the open alerts',
  output_ratio: '‖ΔW·x‖ / ‖W₀·x‖ on the step’s own tokens: how much an adapter adds to what its layer gives',
  'size of the adapters':
    'how many times a layer’s own output all adapters together add: the depth-scaled output ratio, which is the 90th percentile of output_ratio over adapters × depth',
  delta_norm: '‖ΔW‖: Frobenius norm of the adapter update ΔW = s·B·A',
  product_norm: '‖B·A‖: Frobenius norm without the scale',
  predicted_norm: 's·Σlr·√(d_out·r/3): what Adam reaches from the default start if every step agrees',
  spectral_norm: 'σ₁(ΔW): the largest singular value of the adapter update',
  relative_norm: '‖ΔW‖ / ‖W₀‖, Frobenius norms: the adapter update relative to the base weight',
  relative_spectral_norm: 'σ₁(ΔW) / σ₁(W₀): the adapter update relative to the base weight, largest singular values',
  effective_rank: 'exp of the entropy of σ/Σσ: how many of the r directions are in use; 0 while ΔW = 0',
  stable_rank: '‖ΔW‖² / σ₁²: a lower, steadier count of the directions in use',
  a_norm: '‖A‖: Frobenius norm of the factor A',
  b_norm: '‖B‖: Frobenius norm of the factor B',
  a_grad_norm: '‖∂A‖ as it reaches the optimizer, after clipping',
  b_grad_norm: '‖∂B‖ as it reaches the optimizer, after clipping',
  a_changed: 'share of 64 numbers of A that the last update changed; below 1 where rounding loses updates',
  b_changed: 'share of 64 numbers of B that the last update changed; below 1 where rounding loses updates',
  base_drift: '‖W − W₀‖ / ‖W₀‖ of the base weight: 0, since it is frozen',
  scale: 's: the live factor of B·A; α/r, with rsLoRA α/√r',
  effective_lr: 's · lr: scale × learning rate of the parameter group that holds B',
  lr: 'learning rate of the first parameter group',
  loss: 'mean training loss of the whole optimizer step, NaN kept',
  reward: 'mean reward of the completions',
  margin: 'of preferences (DPO): by how much the chosen answer is preferred to the rejected one',
  expected: 'the loss that the run’s own course predicts for the step',
  overhead: 'share of the wall time that the monitor took after the first 20 steps, which are all measured in full',
  adapters: 'LoRA modules that are monitored',
  step: 'optimizer steps done',
  r: 'rank: the inner size of B·A',
  alpha: 'lora_alpha, of which the scale is made',
  base_norm: '‖W₀‖: Frobenius norm of the frozen base weight',
  base_spectral_norm: 'σ₁(W₀): largest singular value of the frozen base weight',
  group: 'index of the optimizer’s parameter group',
  max: 'the largest of any adapter',
  '9 in 10 below': '90th percentile over adapters: nine of ten are smaller',
  median: 'median over adapters',
  verdict: 'the alert that the rules put first, else their word for the run',
  end: 'the run’s own word for its end',
  steps: 'optimizer steps done, of those planned',
  'loss, mean of five': 'mean of the last five losses, and how far it is below its start',
  'reward, mean of five': 'mean of the last five rewards that were logged; gain: how far it is above the first ones',
  alerts: 'episodes by severity: one cause makes one alert, which opens, lasts and closes',
  Severity: 'ERROR: the run fails or will; WARNING: something to act on; INFO: worth knowing',
  Rule: 'its id, as in lora-watch rules and in mute=',
  Held: 'for how many steps its cause lasted',
  Adapters: 'the adapter concerned, the worst first, and how many more',
  'Stand out':
    'the adapters that are farthest from the median of all at the step, and by which factor; broken ones first',
  Kind: 'kind of the adapted layer',
  'W₀': 'the frozen base weight, rows × columns',
  'B · A': 'the factors of the adapter update, rows × columns',
  Trainable: 'trainable numbers of the adapter',
  Frobenius: '‖ΔW‖ / ‖W₀‖, Frobenius norms',
  spectral: 'σ₁(ΔW) / σ₁(W₀), largest singular values',
  A: 'of the factor A, r × columns',
  B: 'of the factor B, rows × r',
  path: 'the run step by step: gain of the loss against the size of the adapters, in the colours of its zones',
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
  [/^reward/, 'reward'],
  [/^margin/, 'margin'],
  [/^scale$/, 's'],
];

export const unitOf = (/** @type {string} */ metric) => UNITS.find(([pattern]) => pattern.test(metric))?.[1];
