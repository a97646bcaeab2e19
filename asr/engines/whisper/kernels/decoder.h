/* A decoder's step: every row reads one token, and attends to its own past and to its window. */
#pragma once
#include "windows.h"

#define BLOCK_BYTES (SIZE * ROW_BYTES)
#define UNIT (127 * 128) /* the peak of a block's weights, as a whole number of 15 bits */

typedef struct {
    Norm attention_norm;
    Matrix query_key_value, attention_out;
    Norm cross_norm;
    Matrix cross_query, cross_out;
    Norm feed_norm;
    Matrix widen, narrow;
} DecoderLayer;

typedef struct {
    int64_t layers, count, heads; /* count: rows, at most CHUNK */
    const int64_t *places;        /* [count]: the position of each row's token */
    float *x;                     /* [count, D], in and out */
    float *projected, *attended;  /* [count, 3 D], [count, D] */
    float *query;                 /* [layers, count, D]: cross-attention's, of each layer */
    float *fed;                   /* [count, feed width] */
    uint8_t *panels;              /* [threads, count, feed width] */
    float *own; /* [layers, 2, slots, heads, positions, SIZE]: keys and values of the past */
    int64_t slots, positions;
    const uint8_t *frames; /* [slots, layers, 2, heads, frames, ROW_BYTES] */
    int64_t head_bytes;    /* of `frames`, of one head's keys or values */
    const int64_t *blocks; /* [count]: a row's window has so many blocks of SIZE frames */
    const float *biases;   /* [count, biased]: for the scores of each frame */
    int64_t biased;
} Step;

INLINE float dot(const float *a, const float *b) {
    __m512 sum = _mm512_mul_ps(_mm512_loadu_ps(a), _mm512_loadu_ps(b));
    for (int i = LANES; i < SIZE; i += LANES)
        sum = _mm512_fmadd_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i), sum);
    return _mm512_reduce_add_ps(sum);
}

/* Turn scores, whole LANES, into weights; return what they are to be divided by. */
static float to_weights(float *scores, int64_t count) {
    __m512 peak = _mm512_set1_ps(-INFINITY), sum = _mm512_setzero_ps();
    for (int64_t i = 0; i < count; i += LANES)
        peak = _mm512_max_ps(peak, _mm512_loadu_ps(scores + i));
    __m512 top = _mm512_set1_ps(_mm512_reduce_max_ps(peak));
    for (int64_t i = 0; i < count; i += LANES) {
        __m512 weight = exponential(_mm512_sub_ps(_mm512_loadu_ps(scores + i), top));
        _mm512_storeu_ps(scores + i, weight);
        sum = _mm512_add_ps(sum, weight);
    }
    return _mm512_reduce_add_ps(sum);
}

static void store_divided(const __m512 *sums, float by, float *y) {
    __m512 rate = _mm512_set1_ps(1.0f / by);
    for (int i = 0; i < SIZE / LANES; i++)
        _mm512_storeu_ps(y + i * LANES, _mm512_mul_ps(sums[i], rate));
}

/* Let a row attend to its own past, its token included, with one head. */
static void attend_to_own(const Step *step, int64_t layer, int64_t row, int64_t head) {
    int64_t width = step->heads * SIZE, count = step->places[row] + 1;
    int64_t table = step->positions * SIZE, kind = step->slots * step->heads * table;
    const float *query = step->projected + row * 3 * width + head * SIZE;
    float *keys = step->own + 2 * layer * kind + (row * step->heads + head) * table;
    float *values = keys + kind, scores[step->positions + LANES];
    for (int i = 0; i < SIZE; i += LANES) {
        int64_t at = step->places[row] * SIZE + i;
        _mm512_storeu_ps(keys + at, _mm512_loadu_ps(query + width + i));
        _mm512_storeu_ps(values + at, _mm512_loadu_ps(query + 2 * width + i));
    }
    for (int64_t p = 0; p < count; p++) {
        fetch(keys + table + p * SIZE, SIZE * sizeof(float)); /* the next head's */
        fetch(values + table + p * SIZE, SIZE * sizeof(float));
        scores[p] = dot(query, keys + p * SIZE);
    }
    for (int64_t p = count; p % LANES; p++) scores[p] = -INFINITY;
    float sum = to_weights(scores, count);
    __m512 sums[SIZE / LANES];
    for (int i = 0; i < SIZE / LANES; i++) sums[i] = _mm512_setzero_ps();
    for (int64_t p = 0; p < count; p++) {
        __m512 weight = _mm512_set1_ps(scores[p]);
        for (int i = 0; i < SIZE / LANES; i++) {
            __m512 value = _mm512_loadu_ps(values + p * SIZE + i * LANES);
            sums[i] = _mm512_fmadd_ps(weight, value, sums[i]);
        }
    }
    store_divided(sums, sum, step->attended + row * width + head * SIZE);
}

/* Add SIZE rows of 8-bit numbers, times weights, to SIZE sums. The weights times the rows' scales
   become whole numbers of 15 bits, in two parts, so that the sums are those of whole numbers. */
INLINE void add_block(const uint8_t *rows, const float *weights, __m512 *sums) {
    const __m512i steps = _mm512_mullo_epi32(lane_numbers(), _mm512_set1_epi32(ROW_BYTES));
    __m512 scaled[SIZE / LANES], offset = _mm512_setzero_ps(), peak = _mm512_setzero_ps();
    for (int i = 0; i < SIZE / LANES; i++) {
        const uint8_t *ends = rows + i * LANES * ROW_BYTES + SIZE;
        __m512 weight = _mm512_loadu_ps(weights + i * LANES);
        scaled[i] = _mm512_mul_ps(weight, _mm512_i32gather_ps(steps, ends, 1));
        offset = _mm512_fmadd_ps(weight, _mm512_i32gather_ps(steps, ends + 4, 1), offset);
        peak = _mm512_max_ps(peak, _mm512_abs_ps(scaled[i]));
    }
    float most = _mm512_reduce_max_ps(peak);
    if (most < SMALLEST) most = SMALLEST;
    int8_t upper[SIZE], lower[SIZE];
    for (int i = 0; i < SIZE / LANES; i++) {
        __m512i whole = _mm512_cvtps_epi32(_mm512_mul_ps(scaled[i], _mm512_set1_ps(UNIT / most)));
        __m512i high = _mm512_srai_epi32(_mm512_add_epi32(whole, _mm512_set1_epi32(64)), 7);
        __m512i low = _mm512_sub_epi32(whole, _mm512_slli_epi32(high, 7));
        _mm_storeu_si128((__m128i *)(upper + i * LANES), _mm512_cvtepi32_epi8(high));
        _mm_storeu_si128((__m128i *)(lower + i * LANES), _mm512_cvtepi32_epi8(low));
    }
    __m512i highs[4], lows[4];
    for (int i = 0; i < 4; i++) highs[i] = lows[i] = _mm512_setzero_si512();
    for (int r = 0; r < SIZE; r += 4) {
        const uint8_t *four = rows + r * ROW_BYTES;
        fetch(four + 2 * BLOCK_BYTES, 4 * ROW_BYTES); /* of the block after the next */
        __m512i a = _mm512_loadu_si512(four), b = _mm512_loadu_si512(four + ROW_BYTES);
        __m512i c = _mm512_loadu_si512(four + 2 * ROW_BYTES);
        __m512i d = _mm512_loadu_si512(four + 3 * ROW_BYTES);
        __m512i ab = _mm512_unpacklo_epi8(a, b), cd = _mm512_unpacklo_epi8(c, d);
        __m512i above_ab = _mm512_unpackhi_epi8(a, b), above_cd = _mm512_unpackhi_epi8(c, d);
        __m512i columns[4] = {
            _mm512_unpacklo_epi16(ab, cd), _mm512_unpackhi_epi16(ab, cd),
            _mm512_unpacklo_epi16(above_ab, above_cd), _mm512_unpackhi_epi16(above_ab, above_cd)};
        __m512i high = _mm512_set1_epi32(*(const int32_t *)(upper + r));
        __m512i low = _mm512_set1_epi32(*(const int32_t *)(lower + r));
        for (int i = 0; i < 4; i++) {
            highs[i] = _mm512_dpbusd_epi32(highs[i], columns[i], high);
            lows[i] = _mm512_dpbusd_epi32(lows[i], columns[i], low);
        }
    }
    for (int i = 0; i < 4; i++)
        highs[i] = _mm512_add_epi32(_mm512_slli_epi32(highs[i], 7), lows[i]);
    /* Quarter l of highs[i] has the columns from 16 l + 4 i on: bring them into order. */
    __m512i even = _mm512_shuffle_i32x4(highs[0], highs[1], 0x44);
    __m512i odd = _mm512_shuffle_i32x4(highs[2], highs[3], 0x44);
    __m512i even_above = _mm512_shuffle_i32x4(highs[0], highs[1], 0xee);
    __m512i odd_above = _mm512_shuffle_i32x4(highs[2], highs[3], 0xee);
    __m512i ordered[4] = {
        _mm512_shuffle_i32x4(even, odd, 0x88), _mm512_shuffle_i32x4(even, odd, 0xdd),
        _mm512_shuffle_i32x4(even_above, odd_above, 0x88),
        _mm512_shuffle_i32x4(even_above, odd_above, 0xdd)};
    __m512 rate = _mm512_set1_ps(most / UNIT);
    __m512 fixed = _mm512_set1_ps(_mm512_reduce_add_ps(offset));
    for (int i = 0; i < 4; i++) {
        __m512 sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(ordered[i]), rate, fixed);
        sums[i] = _mm512_add_ps(sums[i], sum);
    }
}

/* Let a row attend to its window with one head. Keys lie turned: a row of the table has one of the
   head's numbers, of SIZE frames. */
static void attend_to_frames(const Step *step, int64_t layer, int64_t row, int64_t head) {
    int64_t width = step->heads * SIZE, blocks = step->blocks[row];
    int64_t table = (row * step->layers + layer) * 2 * step->heads + head;
    const uint8_t *keys = step->frames + table * step->head_bytes;
    const uint8_t *values = keys + step->heads * step->head_bytes;
    const float *query = step->query + (layer * step->count + row) * width + head * SIZE;
    float scores[blocks * SIZE];
    __m512 sums[SIZE / LANES];
    for (int64_t b = 0; b < blocks; b++) {
        float *place = scores + b * SIZE;
        for (int i = 0; i < SIZE / LANES; i++)
            sums[i] = _mm512_loadu_ps(step->biases + row * step->biased + b * SIZE + i * LANES);
        add_block(keys + b * BLOCK_BYTES, query, sums);
        for (int i = 0; i < SIZE / LANES; i++) _mm512_storeu_ps(place + i * LANES, sums[i]);
    }
    float sum = to_weights(scores, blocks * SIZE);
    for (int i = 0; i < SIZE / LANES; i++) sums[i] = _mm512_setzero_ps();
    for (int64_t b = 0; b < blocks; b++)
        add_block(values + b * BLOCK_BYTES, scores + b * SIZE, sums);
    store_divided(sums, sum, step->attended + row * width + head * SIZE);
}

/* This thread's part of a layer. */
static void decoder_layer(const DecoderLayer *layer, const Step *step, int64_t number) {
    int64_t thread = omp_get_thread_num(), threads = omp_get_num_threads();
    int64_t count = step->count, heads = step->heads, pairs = count * heads;
    int64_t first = pairs * thread / threads, last = pairs * (thread + 1) / threads;
    uint8_t *panels = step->panels + thread * count * layer->narrow.in;
    float *query = step->query + number * count * heads * SIZE;
    multiply_share(step->x, count, &layer->attention_norm, &layer->query_key_value, PLAIN,
                   step->projected, panels);
#pragma omp barrier
    for (int64_t i = first; i < last; i++) attend_to_own(step, number, i / heads, i % heads);
#pragma omp barrier
    multiply_share(step->attended, count, NULL, &layer->attention_out, ADDED, step->x, panels);
#pragma omp barrier
    multiply_share(step->x, count, &layer->cross_norm, &layer->cross_query, PLAIN, query, panels);
#pragma omp barrier
    for (int64_t i = first; i < last; i++) attend_to_frames(step, number, i / heads, i % heads);
#pragma omp barrier
    multiply_share(step->attended, count, NULL, &layer->cross_out, ADDED, step->x, panels);
#pragma omp barrier
    multiply_share(step->x, count, &layer->feed_norm, &layer->widen, GELU, step->fed, panels);
#pragma omp barrier
    multiply_share(step->fed, count, NULL, &layer->narrow, ADDED, step->x, panels);
#pragma omp barrier
}
