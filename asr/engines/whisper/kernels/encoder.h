/* A window through the encoder: products in int8, attention in bfloat16. */
#pragma once
#include "windows.h"

#ifdef __AVX512BF16__

#define PAIRS (SIZE / 2)      /* of a head's numbers */
#define BLOCK (2 * TILE)      /* frames that are scored at once */
#define MOST_FRAMES 1504      /* of a window, whole BLOCKs */
#define APART (MOST_FRAMES + 64) /* of two rows of scores: not in the same lines of the cache */

typedef struct {
    Norm attention_norm;
    Matrix query_key_value, attention_out;
    Norm feed_norm;
    Matrix widen, narrow;
} EncoderLayer;

typedef struct {
    int64_t layers, count, heads; /* count: frames, at most MOST_FRAMES */
    float *x;                     /* [count, D], in and out */
    uint16_t *projected;          /* bfloat16 [count, 3 D] */
    float *attended;              /* [count, D] */
    uint16_t *keys;               /* bfloat16 [heads, frames / TILE, PAIRS, TILE, 2]; */
    uint16_t *values;             /* bfloat16 [heads, SIZE / TILE, frames / 2, TILE, 2]; */
                                  /* frames: whole BLOCKs */
    const float *biases; /* [frames], for the scores of each frame: -inf behind the last */
    uint8_t *panels;     /* [threads, CHUNK, feed width] */
    float *fed;          /* [threads, CHUNK, feed width] */
} Encoding;

static int64_t whole_frames(const Encoding *e) { return (e->count + BLOCK - 1) / BLOCK * BLOCK; }

/* Bring a head's keys into the order in which they are multiplied. */
static void pack_keys(const Encoding *e, int64_t head) {
    int64_t width = e->heads * SIZE, frames = whole_frames(e);
    const uint16_t *keys = e->projected + width + head * SIZE;
    uint16_t *packed = e->keys + head * frames * SIZE;
    __m512i last = _mm512_set1_epi32(e->count - 1), row = _mm512_set1_epi32(3 * width * 2);
    for (int64_t f = 0; f < frames; f += TILE) {
        __m512i each = _mm512_add_epi32(lane_numbers(), _mm512_set1_epi32(f));
        each = _mm512_min_epi32(each, last);
        __m512i places = _mm512_mullo_epi32(each, row);
        for (int64_t i = 0; i < PAIRS; i++, packed += 2 * TILE)
            _mm512_storeu_si512(packed, _mm512_i32gather_epi32(places, keys + 2 * i, 1));
    }
}

/* Likewise a head's values: those of two frames alternate, zeros behind the last. */
static void pack_values(const Encoding *e, int64_t head) {
    int64_t width = e->heads * SIZE, frames = whole_frames(e), half = SIZE / 2;
    const uint16_t *values = e->projected + 2 * width + head * SIZE;
    uint16_t *packed = e->values + head * frames * SIZE, order[2 * TILE];
    for (int i = 0; i < TILE; i++) order[2 * i] = i, order[2 * i + 1] = 2 * TILE + i;
    __m512i low = _mm512_loadu_si512(order), high = _mm512_add_epi16(low, _mm512_set1_epi16(TILE));
    for (int64_t f = 0; f < frames; f += 2, values += 6 * width, packed += 2 * TILE)
        for (int64_t i = 0; i < SIZE / half; i++) {
            __m512i first = _mm512_setzero_si512(), second = first;
            if (f < e->count) first = _mm512_loadu_si512(values + i * half);
            if (f + 1 < e->count) second = _mm512_loadu_si512(values + 3 * width + i * half);
            uint16_t *tile = packed + 2 * i * frames * TILE;
            _mm512_storeu_si512(tile, _mm512_permutex2var_epi16(first, low, second));
            tile += frames * TILE;
            _mm512_storeu_si512(tile, _mm512_permutex2var_epi16(first, high, second));
        }
}

/* Multiply PANEL rows of pairs of bfloat16, `row` and `pair` apart, with two tiles. */
INLINE void multiply_pairs(const int32_t *rows, const int64_t row, const int64_t pair,
                           int64_t pairs, const uint16_t *first, const uint16_t *second,
                           __m512 sums[PANEL][2]) {
#pragma GCC unroll 12
    for (int r = 0; r < PANEL; r++) sums[r][0] = sums[r][1] = _mm512_setzero_ps();
    for (int64_t i = 0; i < pairs; i++, rows += pair, first += 2 * TILE, second += 2 * TILE) {
        __m512bh a = (__m512bh)_mm512_loadu_si512(first);
        __m512bh b = (__m512bh)_mm512_loadu_si512(second);
#pragma GCC unroll 12
        for (int r = 0; r < PANEL; r++) {
            __m512bh two = (__m512bh)_mm512_set1_epi32(rows[r * row]);
            sums[r][0] = _mm512_dpbf16_ps(sums[r][0], two, a);
            sums[r][1] = _mm512_dpbf16_ps(sums[r][1], two, b);
        }
    }
}

/* Score a block of frames for queries [PAIRS, PANEL] of pairs. */
__attribute__((noinline)) static void score(const int32_t *queries, const uint16_t *keys,
                                            const float *biases, float *scores) {
    __m512 sums[PANEL][2];
    multiply_pairs(queries, 1, PANEL, PAIRS, keys, keys + TILE * SIZE, sums);
    __m512 first = _mm512_loadu_ps(biases), second = _mm512_loadu_ps(biases + TILE);
#pragma GCC unroll 12
    for (int r = 0; r < PANEL; r++) {
        _mm512_storeu_ps(scores + r * APART, _mm512_add_ps(sums[r][0], first));
        _mm512_storeu_ps(scores + r * APART + TILE, _mm512_add_ps(sums[r][1], second));
    }
}

/* Sum values of all frames, two tiles `next` numbers apart, by weights [PANEL, APART]. */
__attribute__((noinline)) static void sum_up(const uint16_t *weights, const uint16_t *values,
                                             int64_t next, int64_t pairs, const float *rates,
                                             float *y, int64_t rows, int64_t width) {
    __m512 sums[PANEL][2];
    multiply_pairs((const int32_t *)weights, APART / 2, 1, pairs, values, values + next, sums);
#pragma GCC unroll 12
    for (int r = 0; r < PANEL; r++) {
        if (r >= rows) break;
        __m512 rate = _mm512_set1_ps(rates[r]);
        _mm512_storeu_ps(y + r * width, _mm512_mul_ps(sums[r][0], rate));
        _mm512_storeu_ps(y + r * width + TILE, _mm512_mul_ps(sums[r][1], rate));
    }
}

/* e^x by 2^(x log2 e), close enough for bfloat16: 5e-6 of it. `top` is x's peak times log2 e. */
INLINE __m512 roughly_exponential(__m512 x, __m512 top) {
    __m512 power = _mm512_fmsub_ps(x, _mm512_set1_ps(1.44269504f), top);
    power = _mm512_max_ps(_mm512_set1_ps(-150.0f), power);
    __m512 whole = _mm512_roundscale_ps(power, 0), rest = _mm512_sub_ps(power, whole);
    __m512 y = _mm512_set1_ps(9.59345e-3f);
    y = _mm512_fmadd_ps(y, rest, _mm512_set1_ps(5.588336e-2f));
    y = _mm512_fmadd_ps(y, rest, _mm512_set1_ps(2.4023689e-1f));
    y = _mm512_fmadd_ps(y, rest, _mm512_set1_ps(6.9312651e-1f));
    y = _mm512_fmadd_ps(y, rest, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(y, whole);
}

/* Turn a row of scores into weights in bfloat16; return one by their sum. */
static float weigh(const float *scores, int64_t count, uint16_t *weights) {
    __m512 peak = _mm512_set1_ps(-INFINITY), sum = _mm512_setzero_ps();
    for (int64_t i = 0; i < count; i += LANES)
        peak = _mm512_max_ps(peak, _mm512_loadu_ps(scores + i));
    __m512 top = _mm512_set1_ps(_mm512_reduce_max_ps(peak) * 1.44269504f);
    for (int64_t i = 0; i < count; i += LANES) {
        __m512 weight = roughly_exponential(_mm512_loadu_ps(scores + i), top);
        sum = _mm512_add_ps(sum, weight);
        _mm256_storeu_si256((__m256i *)(weights + i), (__m256i)_mm512_cvtneps_pbh(weight));
    }
    return 1.0f / _mm512_reduce_add_ps(sum);
}

/* Let the PANEL frames from `first` on attend to all with one head. */
static void attend(const Encoding *e, int64_t head, int64_t first) {
    int64_t width = e->heads * SIZE, frames = whole_frames(e);
    int64_t rows = LEAST(e->count - first, PANEL);
    const uint16_t *keys = e->keys + head * frames * SIZE;
    const uint16_t *values = e->values + head * frames * SIZE;
    int32_t queries[PAIRS * PANEL];
    float scores[PANEL * APART], rates[PANEL], *y = e->attended + first * width + head * SIZE;
    uint16_t weights[PANEL * APART];
    for (int64_t r = 0; r < PANEL; r++) { /* behind the last frame the first one, again */
        const uint16_t *frame = e->projected + (first + (r < rows ? r : 0)) * 3 * width;
        const int32_t *query = (const int32_t *)(frame + head * SIZE);
        for (int64_t i = 0; i < PAIRS; i++) queries[i * PANEL + r] = query[i];
    }
    for (int64_t f = 0; f < frames; f += BLOCK)
        score(queries, keys + f * SIZE, e->biases + f, scores + f);
    for (int64_t r = 0; r < PANEL; r++)
        rates[r] = weigh(scores + r * APART, frames, weights + r * APART);
    for (int64_t i = 0; i < SIZE; i += 2 * TILE)
        sum_up(weights, values + i * frames, TILE * frames, frames / 2, rates, y + i, rows, width);
}

/* This thread's part of a layer. */
static void encoder_layer(const EncoderLayer *layer, const Encoding *e) {
    int64_t thread = omp_get_thread_num(), threads = omp_get_num_threads();
    int64_t width = e->heads * SIZE, panels = (e->count + PANEL - 1) / PANEL;
    int64_t first = panels * thread / threads * PANEL;
    int64_t last = LEAST(panels * (thread + 1) / threads * PANEL, e->count);
    int64_t chunk = CHUNK * layer->narrow.in;
    uint8_t *numbers = e->panels + thread * chunk;
    float *fed = e->fed + thread * chunk;
    for (int64_t r = first; r < last; r += CHUNK)
        multiply_chunk(e->x + r * width, LEAST(last - r, CHUNK), &layer->attention_norm,
                       &layer->query_key_value, HALF, e->projected + r * 3 * width, numbers);
#pragma omp barrier
    int64_t tables = 2 * e->heads;
    for (int64_t i = tables * thread / threads; i < tables * (thread + 1) / threads; i++)
        (i % 2 ? pack_values : pack_keys)(e, i / 2);
#pragma omp barrier
    int64_t all = e->heads * panels;
    for (int64_t i = all * thread / threads; i < all * (thread + 1) / threads; i++)
        attend(e, i / panels, i % panels * PANEL);
#pragma omp barrier
    for (int64_t r = first; r < last; r += CHUNK) {
        int64_t count = LEAST(last - r, CHUNK);
        float *x = e->x + r * width, *attended = e->attended + r * width;
        multiply_chunk(attended, count, NULL, &layer->attention_out, ADDED, x, numbers);
        multiply_chunk(x, count, &layer->feed_norm, &layer->widen, GELU, fed, numbers);
        multiply_chunk(fed, count, NULL, &layer->narrow, ADDED, x, numbers);
    }
}

#endif
