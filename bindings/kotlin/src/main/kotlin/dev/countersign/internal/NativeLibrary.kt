package dev.countersign.internal

/**
 * The way in on Android. JNA opens the library by `dlopen`, which calls no `JNI_OnLoad`: this hands the virtual machine
 * over instead. The name of the class and of its function are part of the library's symbols.
 */
internal object NativeLibrary {
    private const val NAME = "countersign_ffi"

    /** Loads the library and tells it where it is. */
    @Synchronized
    fun load(context: Any) {
        System.loadLibrary(NAME)
        attach(context, NativeLibrary::class.java.classLoader)?.let { throw UnsatisfiedLinkError(it) }
    }

    /** Null, or a stable name of what failed. */
    @JvmStatic
    external fun attach(context: Any, loader: ClassLoader?): String?
}
