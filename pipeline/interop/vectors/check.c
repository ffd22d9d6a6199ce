/* Fires what vectors.h holds, by the equations of README.md, and compares every bit and sum:
     cc -std=c11 -O2 -o check check.c && ./check */
#include <stdio.h>
#include <string.h>
#include "vectors.h"

static uint8_t fired[LAYERS][TIMESTEPS][NUMBERS]; /* of one sample */
static int64_t v[LAYERS][NUMBERS], i[LAYERS][NUMBERS];

static int bit(const uint8_t *bits, int n) { return bits[n / 8] >> (7 - n % 8) & 1; }
static int64_t rz(int64_t x, int n) { return x < 0 ? -(-x >> n) : x >> n; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t sat24(int64_t x) { return x > 8388607 ? 8388607 : most(x, -8388607); }

/* At window n of a map: the sum of weight · number (weight 1 if there is none), or the largest. */
static int64_t over(const window_t *w, const int32_t *map, const int8_t *weight, int n,
                    int largest) {
  int64_t result = largest ? INT32_MIN : 0;
  for (int k = 0; k < w->height * w->width; k++) {
    int row = n / w->columns_out * w->stride_y - w->padding_y + k / w->width;
    int column = n % w->columns_out * w->stride_x - w->padding_x + k % w->width;
    if (row < 0 || row >= w->rows || column < 0 || column >= w->columns) continue;
    int64_t number = map[row * w->columns + column] * (weight ? weight[k] : 1);
    result = largest ? most(result, number) : result + number;
  }
  return result;
}

static void add_currents(const input_t *in, int t, int64_t *current) {
  static int32_t x[NUMBERS], p[NUMBERS], a[NUMBERS];
  const window_t *pool = &in->pool, *kernel = &in->kernel, *window = &in->window;
  int places = pool->rows * pool->columns, pools = pool->rows_out * pool->columns_out;
  int sums = kernel->rows_out * kernel->columns_out;
  int maxima = window->rows_out * window->columns_out;
  for (int n = 0; n < in->channels * places; n++) {
    int c = in->channel_of[n / places];
    int row = in->row_of[n / pool->columns % pool->rows], column = in->column_of[n % pool->columns];
    x[n] = 0;
    for (int k = 0; c >= 0 && row >= 0 && column >= 0 && k < in->sources; k++) {
      const layer_t *l = &layers[in->source[k].layer];
      int step = t - in->source[k].delay[c], neuron = (c * l->height + row) * l->width + column;
      if (step >= 0) x[n] += in->source[k].sign * fired[in->source[k].layer][step][neuron];
    }
  }
  for (int n = 0; n < in->channels * pools; n++)
    p[n] = over(pool, x + n / pools * places, NULL, n % pools, in->pools_maximum);
  for (int n = 0; n < in->out_channels * sums; n++) {
    const int8_t *weight = in->weight + n / sums * in->channels * kernel->height * kernel->width;
    a[n] = in->weight ? 0 : p[n];
    for (int c = 0; in->weight && c < in->channels; c++)
      a[n] += over(kernel, p + c * pools, weight + c * kernel->height * kernel->width, n % sums, 0);
  }
  for (int o = 0; o < in->out_channels; o++) {
    int64_t sum = 0, gain = in->gain[(t - 1) % in->gain_rows * in->out_channels + o];
    for (int n = 0; n < maxima; n++) {
      int64_t largest = over(window, a + o * sums, NULL, n, 1);
      sum += largest;
      if (!in->sums_places) current[o * maxima + n] += rz(gain * largest, in->shift);
    }
    if (in->sums_places) current[o] += rz(gain * sum, in->shift);
  }
}

static void step(int number, int t) {
  static int64_t current[NUMBERS];
  const layer_t *l = &layers[number];
  memset(current, 0, sizeof current);
  for (int k = 0; k < l->inputs; k++) add_currents(&l->input[k], t, current);
  for (int n = 0; n < l->channels * l->height * l->width; n++) {
    int c = n / (l->height * l->width), before = fired[number][t - 1][n];
    int64_t *v_n = &v[number][n], *i_n = &i[number][n];
    *i_n = rz(*i_n * (4096 - l->synaptic_decay[c]), 12) + current[n]
      + l->bias[(t - 1) % l->bias_rows * l->channels + c];
    if (l->limits_current) *i_n = sat24(*i_n);
    *v_n = l->reset_to_zero && before ? 0 : rz(*v_n * (4096 - l->decay[c]), 12);
    *v_n = sat24(*v_n + *i_n - (l->reset_to_zero ? 0 : l->reset_by[c] * before));
    *v_n = most(*v_n, l->lowest[c]);
    fired[number][t][n] = *v_n > l->threshold[c] - l->fires_at_threshold;
  }
}

int main(void) {
  long differing = 0, compared = 0;
  for (int sample = 0; sample < SAMPLES; sample++) {
    int64_t sums[CLASSES] = {0};
    memset(fired, 0, sizeof fired), memset(v, 0, sizeof v), memset(i, 0, sizeof i);
    for (int t = 0; t < TIMESTEPS; t++) {
      const layer_t *last = &layers[LAYERS - 1];
      for (int k = 0; k < LAYERS; k++) {
        int neurons = layers[k].channels * layers[k].height * layers[k].width;
        size_t bytes = (neurons + 7) / 8;
        const uint8_t *bits = layers[k].spikes + ((size_t)sample * TIMESTEPS + t) * bytes;
        if (k && t) step(k, t);
        for (int n = 0; n < neurons; n++) {
          if (!k) fired[k][t][n] = bit(bits, n);
          if (fired[k][t][n] != bit(bits, n) && !differing++)
            printf("sample %d, step %d, layer %s, neuron %d: fires %d, expected %d\n",
                   sample, t, layers[k].name, n, fired[k][t][n], bit(bits, n));
        }
        compared += k ? neurons : 0;
      }
      for (int o = 0, neurons = last->channels * last->height * last->width; o < CLASSES; o++) {
        sums[o] = rz(sums[o] * READOUT_LEAK, 12)
          + readout_bias[t % READOUT_BIAS_ROWS * CLASSES + o];
        for (int n = 0; n < neurons; n++)
          sums[o] += readout_weight[o * neurons + n] * fired[LAYERS - 1][t][n];
      }
    }
    for (int o = 0; o < CLASSES; o++, compared++)
      if (sums[o] != readout_sums[sample * CLASSES + o] && !differing++)
        printf("sample %d, class %d: sums to %lld, expected %d\n",
               sample, o, (long long)sums[o], (int)readout_sums[sample * CLASSES + o]);
  }
  printf("%ld of %ld bits and sums differ\n", differing, compared);
  return differing != 0;
}
