/* A round of small files made durable without the interpreter's lock. See rounds.py, whose Python twin takes the same
 * steps in the same order; there each system call gives the lock up and waits for it again, up to 5 ms a time beside a
 * busy event loop.
 *
 * Built without any header but the C library's: cc -O2 -fPIC -shared -o libfaxgwrounds.so _rounds.c
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>

#ifndef ROUNDS_VERSION
#define ROUNDS_VERSION ""
#endif

typedef struct {
    const char *path;    /* final name, within the round's folder */
    const uint8_t *data;
    int64_t size;        /* octets */
    int32_t fault;       /* errno of what failed; 0: nothing. Then the file is gone */
    int32_t descriptor;  /* ours */
} file;

const char *rounds_version(void)
{
    return ROUNDS_VERSION;
}

static void drop(file *one, int fault)
{
    one->fault = fault ? fault : EIO;
    if (one->descriptor >= 0)
        close(one->descriptor);
    one->descriptor = -1;
    unlink(one->path);
}

static int write_all(int descriptor, const uint8_t *data, int64_t size)
{
    while (size > 0) {
        ssize_t done = write(descriptor, data, (size_t)size);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return errno;
        data += done;
        size -= done;
    }
    return 0;
}

static int sync_descriptor(int descriptor)
{
    while (fsync(descriptor) != 0) {
        if (errno != EINTR) /* interrupted before it began; anything else is final */
            return errno;
    }
    return 0;
}

static int sync_folder(const char *folder)
{
    int descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int fault;
    if (descriptor < 0)
        return errno;
    fault = sync_descriptor(descriptor);
    close(descriptor);
    return fault;
}

/* Write, sync and name `count` files; their folder is synced last. */
void rounds_write(file *files, int count, const char *folder)
{
    int i, fault, whole = 0;
    for (i = 0; i < count; i++) {
        file *one = &files[i];
        one->fault = 0;
        one->descriptor = open(one->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (one->descriptor < 0) {
            one->fault = errno;
            continue;
        }
        fault = write_all(one->descriptor, one->data, one->size);
        if (fault)
            drop(one, fault);
        else
            posix_fadvise(one->descriptor, 0, 0, POSIX_FADV_DONTNEED); /* Linux begins to write */
    }
    for (i = 0; i < count; i++) {
        file *one = &files[i];
        if (one->descriptor < 0)
            continue;
        fault = sync_descriptor(one->descriptor);
        if (!fault) {
            int closed = close(one->descriptor);
            one->descriptor = -1;
            fault = closed != 0 && errno != EINTR ? errno : 0;
        }
        if (fault)
            drop(one, fault);
        else
            whole++;
    }
    fault = whole ? sync_folder(folder) : 0;
    for (i = 0; fault && i < count; i++)
        if (!files[i].fault)
            drop(&files[i], fault);
}
