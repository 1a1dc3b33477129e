/* The media loop of a call in C: sockets, UDPTL or RTP, the guard, the clock of libspandsp. See native.py.
 *
 * It does what terminal.py, audio.py, guard.py, foip/udptl.py and foip/rtp.py do, which stay in use where no compiler
 * is at hand; the same tests run over both. What happens in a call (phases, T.30 frames, tones, strangers) is told to
 * Python, which decides; nothing here knows of gates but the flag that freezes the call.
 *
 * Built without headers of libspandsp or Python: cc -O2 -fPIC -shared -o libfaxgwmedia.so _media.c -l:libspandsp.so.2
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <malloc.h>
#include <math.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#ifndef MEDIA_VERSION
#define MEDIA_VERSION ""
#endif

/* libspandsp 0.0.6, soname 2 */
int t38_terminal_send_timeout(void *s, int samples);
int t38_core_rx_ifp_packet(void *s, const uint8_t *buf, int len, uint16_t seq_no);
int fax_rx(void *s, int16_t *amp, int len);
int fax_rx_fillin(void *s, int len);
int fax_tx(void *s, int16_t *amp, int max_len);
int modem_connect_tones_rx(void *s, const int16_t *amp, int len);
int t4_rx_start_page(void *s);
int t4_rx_put_bit(void *s, int bit);
int t4_rx_put_byte(void *s, uint8_t octet);
int t4_rx_put_chunk(void *s, const uint8_t *octets, int length);
void t30_hdlc_accept(void *s, const uint8_t *octets, int length, int good);

enum {
    TICK_SAMPLES = 160,
    PAUSE_AFTER = 25,     /* as in audio.py */
    MAX_DATAGRAMS = 64,   /* read from a socket per tick */
    RECEIVE_SIZE = 2048,
    BATCH = 8,            /* datagrams of one recvmmsg */
    MAX_IFP = 1400,
    MAX_ENTRIES = 32,
    MAX_DEPTH = 8,
    SLOW_DEPTH = 5, /* as udptl.SLOW_DEPTH and SMALL */
    SMALL = 128,
    PACKET_BUDGET = 60,   /* IFP packets of one tick */
    QUEUE_SIZE = PACKET_BUDGET * 2 * 128,
    RESYNC_AFTER = 16,
    HELD = 4,
    V21_FRAME = 100,
    HEAD = 6,
    FCD = 0x06, RCP = 0x86, DCS = 0x82, /* as in t30_frames, low bit cleared */
    SLOTS = 128, MAX_WAITING = 50, WINDOW = 100, RESET_AFTER = 8, MAX_PAYLOAD = 1600,
    RELAXED = 4, QUIET = 64, PAUSE_KEPT = 10,
    SPEECH_FRAMES = 75,
    /* as in decoder.py */
    PIECE = 32, ROOM = 512, RUNS_SLACK = 16, REFERENCE_SLACK = 64, MAX_RUN = 1 << 26,
    MAX_WIDTH = 4864, SAFE_WIDTH = 1728, MAX_ROWS = 65536,
    HARM_RUNS = 1, HARM_ROWS = 2, HARM_WIDTH = 3, HARM_MEMORY = 4
};
static const double STALE = 5.0, REORDER = 0.06;
static const double LOUD = 150.0, LEVEL_SPREAD = 3.0, CROSSING_SPREAD = 3.0;

typedef struct {
    void (*frame)(void *t30, void *handle, int direction, const uint8_t *message, int length);
    void (*after)(void *handle);
    int (*stranger)(void *handle, const uint8_t *octets, int length, const char *host, int port);
    void (*voice)(void *handle);
} media_python_t;

/* What Python sees; native.py declares the same. */
typedef struct {
    double now;
    int frozen, attention, unfinished, over_budget, settled, unreachable, listening, voice, packet_budget;
    int lost, recovered, old, garbage, skipped, changed;
} media_shared_t;

typedef struct {
    double due, now, tick, late, worst; /* seconds of CLOCK_MONOTONIC */
    int interrupted;
} media_run_t;

typedef struct { uint16_t sequence; uint16_t length; uint8_t octets[RECEIVE_SIZE]; } held_t;

typedef struct {
    int used, law, length;
    uint16_t sequence;
    uint32_t ssrc;
    uint8_t octets[MAX_PAYLOAD];
} slot_t;

typedef struct {
    void *fax, *tones;
    const int16_t *decode[2];
    const uint8_t *encode[2];
    int law;
    uint16_t sequence;
    uint32_t timestamp, ssrc;
    int marker;
    /* jitter buffer */
    slot_t slots[SLOTS], other;
    int waiting, depth, has_next, filling, has_ssrc, strange;
    uint32_t stream;
    uint64_t played;
    uint16_t next;
    int16_t pending[MAX_PAYLOAD + TICK_SAMPLES];
    int count;
    int quiet;   /* quiet packets in a row */
    int missing; /* ticks in a row in which nothing came */
    /* speech */
    int frames;
    double levels, level_squares, crossings, crossing_squares;
} audio_t;

/* The beginning of the library's T.4 decoder; decoder.py looks whether it is so. */
typedef struct {
    int rx, line_encoding;
    int64_t page_start_time;
    void *header_info, *zone;
    int line_image_size, bytes_per_row, image_size, image_buffer_size;
    uint8_t *image_buffer;
    int current_page, x_resolution, y_resolution, image_width, image_length;
    int mark; /* the library uses it for sending only */
    int row_is_2d, row_len;
    uint32_t *cur_runs, *ref_runs;
    uint8_t others[184];
    int last_row_starts_at, consecutive_eols, a0, b1, run_length, black_white, its_black, a_cursor, b_cursor;
} decoder_t;

typedef struct media {
    media_shared_t shared;
    void *handle;
    const decoder_t *decoder; /* of a call that receives */
    media_python_t python;
    int fd, reads, stage, check;
    /* a datagram that was read and waits for Python's look at the one before it */
    int spare;
    struct sockaddr_storage spare_source;
    uint8_t spare_octets[RECEIVE_SIZE];
    struct sockaddr_storage remote;
    socklen_t remote_length;
    /* what the engine emitted: length (2), count (1), octets */
    uint8_t queue[QUEUE_SIZE];
    int queued, budget;
    /* what is to be sent when there is no socket: the same shape */
    uint8_t *out;
    int out_size, out_length;
    /* T.38 */
    void *terminal, *core;
    int max_datagram, depth, fields, sequence;
    struct { int length; uint8_t octets[MAX_IFP + 2]; } field[MAX_DEPTH];
    int expected, old_in_a_row, held;
    double held_since;
    held_t *hold;
    /* guard */
    uint8_t head[HEAD];
    int frame_length, doubtful;
    double last;
    audio_t *audio;
} media_t;

enum { READING, TICKING, DONE };

const char *media_version(void) { return MEDIA_VERSION; }

media_t *media_new(void *handle, const media_python_t *python)
{
    media_t *m = calloc(1, sizeof *m);
    if (m) {
        m->handle = handle;
        m->python = *python;
        m->fd = m->expected = -1;
        m->budget = m->shared.packet_budget = PACKET_BUDGET;
        m->stage = DONE;
    }
    return m;
}

void media_free(media_t *m)
{
    if (m) {
        free(m->hold);
        free(m->out);
        free(m->audio);
        free(m);
    }
}

/* The number of the next UDPTL datagram: another engine of the same session goes on where the one before ended. */
int media_sequence(media_t *m) { return m->sequence; }

void media_count_from(media_t *m, int sequence) { m->sequence = sequence & 0xFFFF; }

int media_t38(media_t *m, void *terminal, void *core, int max_datagram, int depth)
{
    m->terminal = terminal;
    m->core = core;
    m->max_datagram = max_datagram;
    m->depth = depth > MAX_DEPTH ? MAX_DEPTH : depth;
    m->hold = calloc(HELD + 1, sizeof *m->hold);
    return m->hold ? 0 : -1;
}

int media_audio(media_t *m, void *fax, void *tones, const int16_t *ulaw, const int16_t *alaw, const uint8_t *to_ulaw,
                const uint8_t *to_alaw, int depth, uint32_t ssrc, int sequence, uint32_t timestamp)
{
    audio_t *a = m->audio = calloc(1, sizeof *a);
    if (!a)
        return -1;
    a->fax = fax;
    a->tones = tones;
    a->decode[0] = ulaw;
    a->decode[1] = alaw;
    a->encode[0] = to_ulaw;
    a->encode[1] = to_alaw;
    a->depth = depth;
    a->ssrc = ssrc;
    a->sequence = (uint16_t)sequence;
    a->timestamp = timestamp;
    a->marker = a->filling = 1;
    m->shared.listening = m->shared.voice = 1;
    return 0;
}

void media_law(media_t *m, int payload_type) { m->audio->law = payload_type == 8; }

/* The socket, and where to send: no host, nowhere. -1: the host is none for this socket. */
int media_point(media_t *m, int fd, const char *host, int port)
{
    struct sockaddr_storage own;
    socklen_t length = sizeof own;
    struct sockaddr_in *four = (struct sockaddr_in *)&m->remote;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&m->remote;

    m->fd = fd;
    m->remote_length = 0;
    m->shared.settled = 0;
    memset(&m->remote, 0, sizeof m->remote);
    if (!host[0])
        return 0;
    if (getsockname(fd, (struct sockaddr *)&own, &length))
        return -1;
    if (own.ss_family == AF_INET6) {
        six->sin6_family = AF_INET6;
        six->sin6_port = htons((uint16_t)port);
        if (inet_pton(AF_INET6, host, &six->sin6_addr) != 1)
            return -1;
        m->remote_length = sizeof *six;
    } else {
        four->sin_family = AF_INET;
        four->sin_port = htons((uint16_t)port);
        if (inet_pton(AF_INET, host, &four->sin_addr) != 1)
            return -1;
        m->remote_length = sizeof *four;
    }
    return 0;
}

/* ---- leaving ---- */

static void emit(media_t *m, const uint8_t *octets, int length, int count)
{
    if (m->fd < 0) { /* kept for media_next */
        if (m->out_length + length + 3 > m->out_size) {
            int size = 2 * m->out_size + length + 4096;
            uint8_t *bigger = realloc(m->out, (size_t)size);
            if (!bigger)
                return;
            m->out = bigger;
            m->out_size = size;
        }
        m->out[m->out_length++] = (uint8_t)(length >> 8);
        m->out[m->out_length++] = (uint8_t)length;
        m->out[m->out_length++] = (uint8_t)count;
        memcpy(m->out + m->out_length, octets, (size_t)length);
        m->out_length += length;
        return;
    }
    if (!m->remote_length)
        return;
    while (count-- > 0) /* a datagram the system refuses is lost on the way like any other */
        if (sendto(m->fd, octets, (size_t)length, MSG_DONTWAIT, (struct sockaddr *)&m->remote, m->remote_length) < 0
            && (errno == ENETUNREACH || errno == EHOSTUNREACH || errno == EADDRNOTAVAIL))
            m->shared.unreachable = 1;
}

/* Datagrams since the last look: [length (2), count (1), octets]...; forgotten at the next call. */
const uint8_t *media_out(media_t *m, int *length)
{
    *length = m->out_length;
    m->out_length = 0;
    return m->out;
}

/* ---- T.38: engine to wire ---- */

int media_tx_handler(void *core, void *user, const uint8_t *octets, int length, int count)
{
    media_t *m = user;
    (void)core;
    if (--m->budget < 0 || length > MAX_IFP || m->queued + length + 3 > QUEUE_SIZE) {
        m->shared.over_budget = m->shared.attention = 1;
        return -1; /* breaks the library's loop */
    }
    m->queue[m->queued++] = (uint8_t)(length >> 8);
    m->queue[m->queued++] = (uint8_t)length;
    m->queue[m->queued++] = (uint8_t)(count < 1 ? 1 : count > 100 ? 100 : count);
    memcpy(m->queue + m->queued, octets, (size_t)length);
    m->queued += length;
    return 0;
}

/* One UDPTL datagram with redundancy within the peer's limit (T.38 section 9.1). */
static void send_ifp(media_t *m, const uint8_t *octets, int length, int count)
{
    uint8_t datagram[4 + (MAX_DEPTH + 1) * (MAX_IFP + 2)];
    int at = 2, entries = 0, deep = 1, room, i, j;

    datagram[0] = (uint8_t)(m->sequence >> 8);
    datagram[1] = (uint8_t)m->sequence;
    if (length >= 0x80)
        datagram[at++] = (uint8_t)(0x80 | length >> 8);
    datagram[at++] = (uint8_t)length;
    memcpy(datagram + at, octets, (size_t)length);
    at += length;
    room = m->max_datagram - at - 2;
    j = at;
    at += 2;
    for (i = 0; i < m->fields; i++) {
        room -= m->field[i].length;
        if (room < 0 || (i >= m->depth && !(deep && at + m->field[i].length <= SMALL)))
            break;
        if (m->field[i].length == 2 && !m->field[i].octets[1])
            deep = 0; /* no-signal: what lies before is another signal */
        memcpy(datagram + at, m->field[i].octets, (size_t)m->field[i].length);
        at += m->field[i].length;
        entries++;
    }
    datagram[j] = 0;
    datagram[j + 1] = (uint8_t)entries;
    emit(m, datagram, at, count);
    m->sequence = (m->sequence + 1) & 0xFFFF;
    if (m->depth) {
        if (m->fields < m->depth || m->fields < SLOW_DEPTH)
            m->fields++;
        for (i = m->fields - 1; i > 0; i--) {
            m->field[i].length = m->field[i - 1].length;
            memcpy(m->field[i].octets, m->field[i - 1].octets, (size_t)m->field[i].length);
        }
        m->field[0].length = j - 2;
        memcpy(m->field[0].octets, datagram + 2, (size_t)(j - 2));
    }
}

/* ---- guard: as guard.py ---- */

static int dangerous(const media_t *m, int v21)
{
    int code;
    if (m->frame_length < 3)
        return 1;
    code = m->head[2] & 0x7F;
    if (code == 0x60 && m->frame_length < 4)
        return 1;
    if (code == 0x41 && m->frame_length >= HEAD && (m->head[5] & 0xC0) == 0xC0)
        return 1;
    return v21 && m->frame_length > V21_FRAME;
}

static void append(media_t *m, const uint8_t *data, int length)
{
    int i;
    for (i = 0; m->frame_length + i < HEAD && i < length; i++)
        m->head[m->frame_length + i] = data[i];
    if (m->frame_length < 1 << 20) /* longer ones are bad or image data in any case */
        m->frame_length += length;
}

static int end_is_dangerous(media_t *m, const uint8_t *data, int length, int v21)
{
    if (m->doubtful || (m->frame_length && dangerous(m, v21)))
        return 1;
    if (!length)
        return 0;
    append(m, data, length);
    return dangerous(m, v21);
}

/* Changes the packet in place. */
void media_guard(media_t *m, uint8_t *packet, int size, double now)
{
    int at, v21, fields, half = 0, nibble, head_at, shift, kind, length;
    const uint8_t *data;

    if (size < 2 || !(packet[0] & 0x40)) {
        if (m->frame_length)
            m->doubtful = 1;
        return;
    }
    if (m->frame_length && now - m->last > STALE)
        m->doubtful = 1;
    m->last = now;
    at = packet[0] & 0x20 ? 2 : 1;
    v21 = !(packet[0] & 0x3E);
    if (!(packet[0] & 0x80) || at >= size)
        return;
    for (fields = packet[at++]; fields > 0 && at < size; fields--) {
        nibble = half ? packet[at] & 0x0F : packet[at] >> 4;
        head_at = at;
        shift = half ? 0 : 4;
        kind = nibble & 7;
        data = packet;
        length = 0;
        if (nibble & 8) {
            if (at + 3 > size)
                break;
            length = (packet[at + 1] << 8 | packet[at + 2]) + 1;
            if (at + 3 + length > size)
                break; /* cut off: the library drops it, and what follows */
            data = packet + at + 3;
            at += 3 + length;
            half = 0;
        } else {
            at += half;
            half ^= 1;
        }
        if (kind == 0) {
            append(m, data, length);
        } else if (kind == 1) {
            m->doubtful |= m->frame_length > 0;
        } else if (kind <= 5) {
            if (end_is_dangerous(m, data, length, v21) && (kind == 2 || kind == 4)) {
                packet[head_at] |= (uint8_t)(1 << shift);
                m->shared.changed++;
            }
            m->frame_length = m->doubtful = 0;
        }
    }
}

/* ---- the library's decoder: as decoder.py, which puts these in the place of the library's own ---- */

/* Whether a decoder must not be given anything more; it is marked then. */
static int harm_in(decoder_t *s)
{
    if (s->mark)
        return 1;
    if (s->a_cursor < 0 || s->a_cursor > s->image_width + RUNS_SLACK
        || s->b_cursor < 0 || s->b_cursor > s->image_width + REFERENCE_SLACK
        || s->run_length < -MAX_RUN || s->run_length > MAX_RUN)
        s->mark = HARM_RUNS;
    else if (s->image_length > MAX_ROWS)
        s->mark = HARM_ROWS;
    return s->mark != 0;
}

static int make_room(decoder_t *s)
{
    size_t places = (size_t)s->image_width + ROOM, size = places * sizeof *s->cur_runs;
    if (malloc_usable_size(s->cur_runs) < size || malloc_usable_size(s->ref_runs) < size) {
        uint32_t *current = calloc(places, sizeof *current), *reference = calloc(places, sizeof *reference);
        if (!current || !reference) {
            free(current);
            free(reference);
            return 0;
        }
        free(s->cur_runs);
        free(s->ref_runs);
        s->cur_runs = current;
        s->ref_runs = reference;
    } else {
        memset(s->cur_runs, 0, size);
        memset(s->ref_runs, 0, size);
    }
    s->ref_runs[0] = (uint32_t)s->image_width;
    return 1;
}

int decoder_start(decoder_t *s)
{
    int result;
    if (s->image_width <= 0 || s->image_width > MAX_WIDTH) {
        s->image_width = SAFE_WIDTH;
        s->mark = HARM_WIDTH;
    }
    result = t4_rx_start_page(s);
    if ((result || !make_room(s)) && !s->mark)
        s->mark = HARM_MEMORY;
    return result;
}

int decoder_put_bit(decoder_t *s, int bit) { return harm_in(s) || t4_rx_put_bit(s, bit); }

int decoder_put_byte(decoder_t *s, int octet) { return harm_in(s) || t4_rx_put_byte(s, (uint8_t)octet); }

int decoder_put_chunk(decoder_t *s, const uint8_t *octets, int length)
{
    for (; length > 0; octets += PIECE, length -= PIECE)
        if (harm_in(s) || t4_rx_put_chunk(s, octets, length < PIECE ? length : PIECE))
            return 1;
    return 0;
}

/* A frame with the bits as the library keeps them. */
void decoder_accept(void *engine, const uint8_t *octets, int length, int good)
{
    if (good && length >= 3) {
        int code = octets[2] & 0xFE;
        if ((code == FCD && length < 4) || (code == DCS && length >= HEAD && (octets[5] & 3) == 3))
            good = 0;
    }
    t30_hdlc_accept(engine, octets, length, good);
}

void media_decoder(media_t *m, const decoder_t *decoder) { m->decoder = decoder; }

/* ---- T.38: wire to engine ---- */

static void after(media_t *m)
{
    if (m->decoder && m->decoder->mark)
        m->shared.attention = 1;
    if (m->check) {
        m->check = 0;
        m->python.after(m->handle);
    }
}

static void feed(media_t *m, const uint8_t *octets, int length, int sequence)
{
    uint8_t packet[MAX_IFP];
    if (!length)
        return;
    memcpy(packet, octets, (size_t)length);
    media_guard(m, packet, length, m->shared.now);
    t38_core_rx_ifp_packet(m->core, packet, length, (uint16_t)sequence);
    after(m);
}

typedef struct {
    int sequence, entries, parity;
    const uint8_t *primary, *entry[MAX_ENTRIES];
    int length, entry_length[MAX_ENTRIES];
} datagram_t;

/* A length determinant of aligned PER; -1: cut off or fragmented. */
static int read_length(const uint8_t *octets, int size, int *at)
{
    int first;
    if (*at >= size)
        return -1;
    first = octets[(*at)++];
    if (first < 0x80)
        return first;
    if (first >= 0xC0 || *at >= size)
        return -1;
    return (first & 0x3F) << 8 | octets[(*at)++];
}

static int read_field(const uint8_t *octets, int size, int *at, const uint8_t **field)
{
    int length = read_length(octets, size, at);
    if (length < 0 || length > MAX_IFP || *at + length > size)
        return -1;
    *field = octets + *at;
    *at += length;
    return length;
}

static int read_datagram(datagram_t *d, const uint8_t *octets, int size)
{
    int at = 2, i;
    if (size < 3)
        return -1;
    d->sequence = octets[0] << 8 | octets[1];
    d->length = read_field(octets, size, &at, &d->primary);
    if (d->length < 0 || at >= size)
        return -1;
    d->parity = octets[at++] & 0x80;
    if (d->parity) {
        if (at + 1 >= size || octets[at] != 1)
            return -1;
        at += 2;
    }
    d->entries = read_length(octets, size, &at);
    if (d->entries < 0 || d->entries > MAX_ENTRIES)
        return -1;
    for (i = 0; i < d->entries; i++) {
        d->entry_length[i] = read_field(octets, size, &at, &d->entry[i]);
        if (d->entry_length[i] < 0)
            return -1;
    }
    if (d->parity)
        d->entries = 0; /* rebuilt by the Python terminal only, which calls with parity use */
    return 0;
}

static int recoverable(const datagram_t *d, int missing)
{
    int back, found = 0;
    for (back = missing < d->entries ? missing : d->entries; back > 0; back--)
        found += d->entry_length[back - 1] > 0;
    return found;
}

static void take(media_t *m, const datagram_t *d)
{
    int missing = m->expected < 0 ? d->entries : (d->sequence - m->expected) & 0xFFFF, found = 0, back;
    int known = m->expected >= 0;

    m->expected = (d->sequence + 1) & 0xFFFF;
    found = recoverable(d, missing);
    m->shared.recovered += found;
    if (known)
        m->shared.lost += missing - found;
    for (back = missing < d->entries ? missing : d->entries; back > 0; back--)
        feed(m, d->entry[back - 1], d->entry_length[back - 1], (d->sequence - back) & 0xFFFF);
    feed(m, d->primary, d->length, d->sequence);
}

/* The datagrams held back, in order: all, or those before which nothing is missing any more. */
static void flush(media_t *m, int whole)
{
    datagram_t d;
    int i, best, missing;
    while (m->held) {
        held_t one;
        for (best = 0, i = 1; i < m->held; i++)
            if (((m->hold[i].sequence - m->expected) & 0xFFFF) < ((m->hold[best].sequence - m->expected) & 0xFFFF))
                best = i;
        one = m->hold[best];
        missing = (one.sequence - m->expected) & 0xFFFF;
        read_datagram(&d, one.octets, one.length);
        if (missing < 0x8000 && !whole && recoverable(&d, missing) < missing)
            break;
        m->hold[best] = m->hold[--m->held];
        if (missing < 0x8000)
            take(m, &d);
    }
}

static int restarted(media_t *m, int behind)
{
    if (behind <= MAX_ENTRIES)
        return 0;
    if (++m->old_in_a_row < RESYNC_AFTER)
        return 0;
    m->expected = -1;
    m->held = 0;
    return 1;
}

static void receive_udptl(media_t *m, const uint8_t *octets, int size)
{
    datagram_t d;
    int behind, missing, i;

    if (m->expected >= 0 && size > 2) {
        behind = (m->expected - (octets[0] << 8 | octets[1])) & 0xFFFF;
        if (behind > 0 && behind < 0x8000 && !restarted(m, behind)) {
            m->shared.old++;
            return;
        }
    }
    if (read_datagram(&d, octets, size)) {
        m->shared.garbage++;
        return;
    }
    m->old_in_a_row = 0;
    missing = m->expected < 0 ? 0 : (d.sequence - m->expected) & 0xFFFF;
    if (missing > 0 && missing <= MAX_ENTRIES && size <= RECEIVE_SIZE && recoverable(&d, missing) < missing) {
        if (!m->held)
            m->held_since = m->shared.now;
        for (i = 0; i < m->held && m->hold[i].sequence != d.sequence; i++)
            ;
        if (i == m->held) {
            m->hold[i].sequence = (uint16_t)d.sequence;
            m->hold[i].length = (uint16_t)size;
            memcpy(m->hold[i].octets, octets, (size_t)size);
            m->held++;
        }
        if (m->held > HELD)
            flush(m, 1);
        return;
    }
    take(m, &d);
    if (m->held)
        flush(m, 0);
}

static void tick_t38(media_t *m)
{
    int at;
    if (m->held && m->shared.now - m->held_since >= REORDER)
        flush(m, 1);
    if (m->shared.frozen)
        return;
    t38_terminal_send_timeout(m->terminal, TICK_SAMPLES);
    after(m);
    m->budget = m->shared.packet_budget;
    for (at = 0; at < m->queued;) {
        int length = m->queue[at] << 8 | m->queue[at + 1];
        send_ifp(m, m->queue + at + 3, length, m->queue[at + 2]);
        at += 3 + length;
    }
    m->queued = 0;
}

/* ---- G.711: as audio.py and foip/rtp.py ---- */

static void restart(audio_t *a, uint32_t ssrc)
{
    int i;
    for (i = 0; i < SLOTS; i++)
        a->slots[i].used = 0;
    a->waiting = a->has_next = a->strange = 0;
    a->played = 0;
    a->filling = a->has_ssrc = 1;
    a->stream = ssrc;
}

static void keep(audio_t *a, const slot_t *packet)
{
    slot_t *slot = &a->slots[packet->sequence % SLOTS];
    if (!slot->used)
        a->waiting++;
    slot->used = 1;
    slot->law = packet->law;
    slot->length = packet->length;
    slot->sequence = packet->sequence;
    memcpy(slot->octets, packet->octets, (size_t)packet->length);
}

static void place(audio_t *a, const slot_t *packet)
{
    int behind = (uint16_t)(a->next - packet->sequence);
    if (!a->has_next || (a->played == 0 && behind > 0 && behind <= a->depth)) {
        a->has_next = 1;
        a->next = packet->sequence;
    } else if ((uint16_t)(packet->sequence - a->next) >= WINDOW) {
        if (++a->strange < RESET_AFTER)
            return;
        restart(a, packet->ssrc);
        a->has_next = 1;
        a->next = packet->sequence;
    }
    a->strange = 0;
    keep(a, packet);
}

static void put(audio_t *a, const slot_t *packet)
{
    if (!a->has_ssrc || packet->ssrc != a->stream) {
        if (a->has_ssrc && !(a->other.used && a->other.ssrc == packet->ssrc)) {
            a->other = *packet;
            a->other.used = 1;
            return;
        }
        restart(a, packet->ssrc);
        if (a->other.used)
            place(a, &a->other);
    }
    a->other.used = 0;
    place(a, packet);
}

static void receive_rtp(media_t *m, const uint8_t *octets, int size)
{
    audio_t *a = m->audio;
    slot_t packet;
    int start, end = size, kind;

    if (size < 12 || octets[0] >> 6 != 2)
        goto garbage;
    start = 12 + 4 * (octets[0] & 0x0F);
    if (octets[0] & 0x10) {
        if (start + 4 > end)
            goto garbage;
        start += 4 + 4 * (octets[start + 2] << 8 | octets[start + 3]);
    }
    if (octets[0] & 0x20) {
        if (!octets[size - 1])
            goto garbage;
        end -= octets[size - 1];
    }
    if (start > end || end - start > MAX_PAYLOAD)
        goto garbage;
    kind = octets[1] & 0x7F;
    packet.used = 1;
    packet.law = kind == 8;
    packet.sequence = (uint16_t)(octets[2] << 8 | octets[3]);
    packet.ssrc = (uint32_t)octets[8] << 24 | (uint32_t)octets[9] << 16 | (uint32_t)octets[10] << 8 | octets[11];
    packet.length = end - start;
    memcpy(packet.octets, octets + start, (size_t)packet.length);
    if ((kind == 0 || kind == 8) && packet.length) {
        put(a, &packet);
        return;
    }
    packet.length = 0; /* comfort noise, telephone event: only its number counts */
    if (a->has_next && packet.ssrc == a->stream && !a->strange && (uint16_t)(packet.sequence - a->next) < WINDOW)
        keep(a, &packet);
    return;
garbage:
    m->shared.garbage++;
}

/* The next packet, or NULL: lost, no audio, late, or not yet begun. */
static slot_t *next_packet(media_t *m)
{
    audio_t *a = m->audio;
    slot_t *slot;
    if (!a->has_next || (a->filling && a->waiting < a->depth))
        return NULL;
    if (!a->waiting) {
        a->filling = 1;
        return NULL;
    }
    a->filling = 0;
    do {
        slot = &a->slots[a->next % SLOTS];
        if (a->waiting <= MAX_WAITING)
            break;
        a->waiting -= slot->used;
        slot->used = 0;
        a->next++;
    } while (1);
    a->next++;
    a->played++;
    if (!slot->used) {
        m->shared.lost++;
        return NULL;
    }
    slot->used = 0;
    a->waiting--;
    return slot->length ? slot : NULL;
}

static double deviation(double sum, double squares, int count)
{
    double mean = sum / count, variance = squares / count - mean * mean;
    return sqrt(variance > 0 ? variance : 0);
}

/* As speech.py. */
static int hear_speech(audio_t *a, const int16_t *samples)
{
    double squares = 0, level;
    int crossings = 0, i;
    for (i = 0; i < TICK_SAMPLES; i++) {
        squares += (double)samples[i] * samples[i];
        crossings += i && (samples[i] < 0) != (samples[i - 1] < 0);
    }
    level = sqrt(squares / TICK_SAMPLES);
    if (level < LOUD)
        return 0;
    a->frames++;
    level = 20 * log10(level);
    a->levels += level;
    a->level_squares += level * level;
    a->crossings += crossings;
    a->crossing_squares += (double)crossings * crossings;
    return a->frames >= SPEECH_FRAMES && deviation(a->levels, a->level_squares, a->frames) > LEVEL_SPREAD
        && deviation(a->crossings, a->crossing_squares, a->frames) > CROSSING_SPREAD;
}

static int is_quiet(const int16_t *samples, int count)
{
    int i;
    for (i = 0; i < count; i++)
        if (samples[i] >= QUIET || samples[i] <= -QUIET)
            return 0;
    return 1;
}

static void hear(media_t *m)
{
    audio_t *a = m->audio;
    int played, i;
    while (a->count < TICK_SAMPLES) {
        slot_t *packet = next_packet(m);
        if (!packet)
            break;
        for (i = 0; i < packet->length; i++)
            a->pending[a->count + i] = a->decode[packet->law][packet->octets[i]];
        if (a->waiting <= RELAXED || packet->length > TICK_SAMPLES || !is_quiet(a->pending + a->count, packet->length)) {
            a->quiet = 0;
        } else if (++a->quiet > PAUSE_KEPT) {
            m->shared.skipped++;
            continue; /* more wait than need to, and nothing has been said for a while */
        }
        a->count += packet->length;
    }
    played = a->count < TICK_SAMPLES ? a->count : TICK_SAMPLES;
    if (played) {
        if (m->shared.listening) {
            modem_connect_tones_rx(a->tones, a->pending, played);
            if (m->shared.voice && played == TICK_SAMPLES && hear_speech(a, a->pending)) {
                m->shared.voice = 0;
                m->python.voice(m->handle);
            }
        }
        fax_rx(a->fax, a->pending, played);
        a->count -= played;
        if (a->count)
            memmove(a->pending, a->pending + played, (size_t)a->count * sizeof *a->pending);
    }
    a->missing = played ? 0 : a->missing + 1;
    if (a->missing > PAUSE_AFTER) {
        int16_t silence[TICK_SAMPLES] = {0};
        a->missing = PAUSE_AFTER + 1;
        fax_rx(a->fax, silence, TICK_SAMPLES);
    } else if (played < TICK_SAMPLES)
        fax_rx_fillin(a->fax, TICK_SAMPLES - played);
    after(m);
}

static void tick_audio(media_t *m)
{
    audio_t *a = m->audio;
    int16_t samples[TICK_SAMPLES];
    uint8_t packet[12 + TICK_SAMPLES];
    int spoken = 0, i;

    hear(m);
    if (!m->shared.frozen) {
        spoken = fax_tx(a->fax, samples, TICK_SAMPLES);
        after(m);
    }
    for (i = spoken < 0 ? 0 : spoken; i < TICK_SAMPLES; i++)
        samples[i] = 0;
    packet[0] = 0x80;
    packet[1] = (uint8_t)((a->marker ? 0x80 : 0) | (a->law ? 8 : 0));
    packet[2] = (uint8_t)(a->sequence >> 8);
    packet[3] = (uint8_t)a->sequence;
    for (i = 0; i < 4; i++) {
        packet[4 + i] = (uint8_t)(a->timestamp >> (24 - 8 * i));
        packet[8 + i] = (uint8_t)(a->ssrc >> (24 - 8 * i));
    }
    for (i = 0; i < TICK_SAMPLES; i++)
        packet[12 + i] = a->encode[a->law][(uint16_t)samples[i]];
    a->marker = 0;
    a->sequence++;
    a->timestamp += TICK_SAMPLES;
    emit(m, packet, (int)sizeof packet, 1);
}

/* ---- the loop ---- */

/* Registered with the library: image data is no news. */
void media_frame_handler(void *t30, void *user, int direction, const uint8_t *message, int length)
{
    media_t *m = user;
    if (length >= 3 && ((message[2] & 0xFE) == FCD || (message[2] & 0xFE) == RCP))
        return;
    m->python.frame(t30, m->handle, direction, message, length);
    m->check = 1;
}

static void receive(media_t *m, const uint8_t *octets, int length)
{
    if (m->audio)
        receive_rtp(m, octets, length);
    else
        receive_udptl(m, octets, length);
}

static int from_remote(const media_t *m, const struct sockaddr_storage *source)
{
    if (!m->remote_length || source->ss_family != m->remote.ss_family)
        return 0;
    if (source->ss_family == AF_INET) {
        const struct sockaddr_in *a = (const void *)source, *b = (const void *)&m->remote;
        return a->sin_port == b->sin_port && a->sin_addr.s_addr == b->sin_addr.s_addr;
    } else {
        const struct sockaddr_in6 *a = (const void *)source, *b = (const void *)&m->remote;
        return a->sin6_port == b->sin6_port && !memcmp(&a->sin6_addr, &b->sin6_addr, sizeof a->sin6_addr);
    }
}

static int admitted(media_t *m, const struct sockaddr_storage *source, const uint8_t *octets, int length)
{
    char host[INET6_ADDRSTRLEN] = "";
    int six = source->ss_family == AF_INET6;
    const void *address = six ? (const void *)&((const struct sockaddr_in6 *)source)->sin6_addr
                              : (const void *)&((const struct sockaddr_in *)source)->sin_addr;
    uint16_t port = six ? ((const struct sockaddr_in6 *)source)->sin6_port : ((const struct sockaddr_in *)source)->sin_port;
    inet_ntop(source->ss_family, address, host, sizeof host);
    return m->python.stranger(m->handle, octets, length, host, ntohs(port));
}

static uint8_t buffers[BATCH][RECEIVE_SIZE]; /* one thread ticks all calls */

static void arrived(media_t *m, const struct sockaddr_storage *source, const uint8_t *octets, int length)
{
    int garbage = m->shared.garbage;
    if (from_remote(m, source)) {
        receive(m, octets, length);
        if (m->shared.garbage == garbage)
            m->shared.settled = 1;
    } else if (admitted(m, source, octets, length)) {
        receive(m, octets, length);
    }
}

/* Read what came, one datagram after the other, then tick; stops where Python has to look. */
static void step(media_t *m)
{
    struct sockaddr_storage sources[BATCH];
    struct iovec vectors[BATCH];
    struct mmsghdr messages[BATCH];
    /* Audio never stops in between; T.38 may, and keeps one datagram for afterwards. */
    int room = m->audio ? BATCH : 2, got, i;

    if (m->spare) {
        int length = m->spare - 1;
        m->spare = 0;
        arrived(m, &m->spare_source, m->spare_octets, length);
    }
    while (m->stage == READING && !m->shared.attention) {
        if (m->reads <= 0) {
            m->stage = TICKING;
            break;
        }
        for (i = 0; i < room; i++) {
            vectors[i].iov_base = buffers[i];
            vectors[i].iov_len = RECEIVE_SIZE;
            memset(&messages[i].msg_hdr, 0, sizeof messages[i].msg_hdr);
            messages[i].msg_hdr.msg_iov = &vectors[i];
            messages[i].msg_hdr.msg_iovlen = 1;
            messages[i].msg_hdr.msg_name = &sources[i];
            messages[i].msg_hdr.msg_namelen = sizeof sources[i];
        }
        got = recvmmsg(m->fd, messages, (unsigned)room, MSG_DONTWAIT, NULL);
        if (got < 0) {
            if (errno == EAGAIN || errno == EINTR)
                m->stage = TICKING;
            m->reads--; /* else an ICMP error of an earlier packet: the next read tells more */
            continue;
        }
        m->reads -= got;
        if (got < room)
            m->stage = TICKING;
        for (i = 0; i < got; i++) {
            int length = (int)messages[i].msg_len;
            if (m->shared.attention) {
                memcpy(m->spare_octets, buffers[i], (size_t)length);
                m->spare_source = sources[i];
                m->spare = length + 1;
            } else {
                arrived(m, &sources[i], buffers[i], length);
            }
        }
    }
    if (m->stage == TICKING && !m->spare && !m->shared.attention) {
        m->stage = DONE;
        if (m->audio)
            tick_audio(m);
        else
            tick_t38(m);
    }
    m->shared.unfinished = m->spare || m->stage != DONE;
}

/* 20 ms of each call. Returns how many want attention: look, then media_continue. */
int media_pump(media_t **calls, int count, double now)
{
    int i, wanted = 0;
    for (i = 0; i < count; i++) {
        media_t *m = calls[i];
        m->shared.now = now;
        m->reads = MAX_DATAGRAMS;
        m->stage = READING;
        step(m);
        wanted += m->shared.attention || m->shared.unreachable;
    }
    return wanted;
}

static double clock_now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

/* Up to `turns` ticks on absolute time. Ends early when a call wants attention, when there is something to read at
 * `wake`, at a signal, or when a tick is later than `late`: that one is left to Python. Returns how many calls want it. */
int media_run(media_t **calls, int count, media_run_t *run, int turns, int wake)
{
    struct pollfd pipe = {wake, POLLIN, 0};
    int wanted = 0;

    run->interrupted = 0;
    while (turns-- > 0 && !wanted) {
        double wait = run->due - clock_now();
        struct timespec patience = {0, 0};
        int ready;
        if (wait > 0) {
            patience.tv_sec = (time_t)wait;
            patience.tv_nsec = (long)((wait - (double)patience.tv_sec) * 1e9);
        }
        ready = ppoll(&pipe, 1, &patience, NULL);
        run->now = clock_now();
        run->interrupted = ready != 0;
        if (run->interrupted && run->now < run->due)
            break;
        if (run->now - run->due > run->worst)
            run->worst = run->now - run->due;
        if (run->now - run->due > run->late)
            break;
        wanted = media_pump(calls, count, run->now);
        run->due += run->tick;
        if (run->interrupted)
            break;
    }
    return wanted;
}

/* Go on with a call after a look at it. */
void media_continue(media_t *m) { step(m); }

/* The same without a socket. */
void media_receive(media_t *m, const uint8_t *octets, int length, double now)
{
    m->shared.now = now;
    receive(m, octets, length);
}

void media_tick(media_t *m, double now)
{
    m->shared.now = now;
    if (m->audio)
        tick_audio(m);
    else
        tick_t38(m);
}
